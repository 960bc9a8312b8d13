import { HeaderBlock, internName } from '../../codec/header-block.ts'
import type { HealthCheckerConfig, ServiceNameMatcher } from '../cluster-config.ts'
import type { HealthChecker, Probe } from './checker.ts'
import { type ExchangeUser, HttpExchange } from './http-exchange.ts'
import { PayloadMatcher } from './payload.ts'
import type { HealthCheckSession } from './session.ts'

type Config = Extract<HealthCheckerConfig, { kind: 'http' }>

/** http_health_check (HttpHealthCheckerImpl). */
export class HttpProbe implements Probe, ExchangeUser {
  private readonly checker: HealthChecker
  private readonly session: HealthCheckSession
  private readonly config: Config
  private readonly exchange: HttpExchange
  private readonly matcher: PayloadMatcher | null
  private status = 0
  private degraded = false
  private verified = true

  constructor(checker: HealthChecker, session: HealthCheckSession, config: Config) {
    this.checker = checker
    this.session = session
    this.config = config
    this.exchange = new HttpExchange(checker, session, this, config.http2)
    this.matcher = config.receive.length === 0 ? null : new PayloadMatcher(config.receive, config.responseBufferSize)
  }

  begin(): void {
    this.status = 0
    this.matcher?.reset()
    this.exchange.request(this.head(), this.config.send)
  }

  abandon(): void {
    this.exchange.close()
  }

  close(): void {
    this.exchange.close()
  }

  onHead(h: HeaderBlock): void {
    this.status = h.status
    this.degraded = h.has('x-envoy-degraded')
    if (h.has('x-envoy-immediate-health-check-fail')) this.session.exclude()
    this.verified = true
    const matcher = this.config.serviceName
    if (matcher !== null && this.checker.services.runtime.integer('health_check.verify_cluster', 100) > 0) {
      this.checker.counters.verifyCluster.inc()
      this.verified = matches(matcher, h.get('x-envoy-upstream-healthchecked-cluster') ?? '')
    }
  }

  onBody(chunk: Uint8Array): void {
    this.matcher?.add(chunk)
  }

  onDone(): void {
    const status = this.status
    if (!inRanges(this.config.expectedStatuses, status)) {
      this.session.failed('ACTIVE', inRanges(this.config.retriableStatuses, status), status)
    } else if (!this.verified || this.matcher?.matched === false) {
      this.session.failed('ACTIVE', false, status)
    } else {
      this.session.passed(this.degraded)
    }
  }

  onBroken(): void {
    this.session.failed('NETWORK', false)
  }

  private head(): HeaderBlock {
    const h = new HeaderBlock()
    const c = this.config
    h.method = c.method
    h.scheme = 'http'
    h.path = c.path
    // The endpoint's own name for checks goes before the checker's (HttpHealthCheckerImpl::getHostname).
    h.authority = this.session.host.config.healthCheck?.hostname || c.host
    h.push('user-agent', 'Envoy/HC')
    if (c.send !== null) h.push('content-length', String(c.send.length))
    for (const add of c.headersToAdd) {
      if (add.name === 'host' || add.name === ':authority') h.authority = add.value
      else if (add.append) h.push(internName(add.name), add.value)
      else h.set(internName(add.name), add.value)
    }
    for (const name of c.headersToRemove) h.remove(name)
    return h
  }
}

function inRanges(ranges: readonly number[], status: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (status >= ranges[i]! && status < ranges[i + 1]!) return true
  return false
}

function matches(m: ServiceNameMatcher, name: string): boolean {
  const a = m.ignoreCase ? name.toLowerCase() : name
  const b = m.ignoreCase ? m.value.toLowerCase() : m.value
  switch (m.kind) {
    case 'exact':
      return a === b
    case 'prefix':
      return a.startsWith(b)
    case 'suffix':
      return a.endsWith(b)
    case 'contains':
      return a.includes(b)
  }
}

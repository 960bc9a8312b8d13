import { BlockList, isIP } from 'node:net'
import { cut } from '../base/list.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { WorkerServices } from '../config/services.ts'
import type { Connection } from '../io/connection.ts'
import type { RouteTable } from '../routing/route.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { mutateClientCert } from './client-cert.ts'
import type { HcmConfig } from './connection-manager-config.ts'
import { NOT_TRACED, newRequestId, withReasonDigit } from './request-id.ts'

/** Headers only internal peers may set: they steer the router (ConnectionManagerUtility::cleanInternalHeaders). */
const steering: readonly string[] = [
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-upstream-stream-duration-ms',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
  'x-envoy-original-url',
  'x-envoy-hedge-on-per-try-timeout',
]
const steeringSet: ReadonlySet<string> = new Set(steering)
/** At an edge what describes the caller goes as well. */
const edgeSet: ReadonlySet<string> = new Set([
  ...steering,
  'x-envoy-original-path',
  'x-envoy-original-host',
  'x-envoy-decorator-operation',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
])

const NONE: readonly string[] = []

/** Request-header rules of the connection manager (Envoy: ConnectionManagerUtility::mutateRequestHeaders). One per manager. */
export class RequestSanitizer {
  private readonly config: HcmConfig
  private readonly services: WorkerServices
  private readonly internal: BlockList | null
  private readonly localAddress: string
  /** Last `detect`: the address stood alone in x-forwarded-for. */
  private single = false

  constructor(config: HcmConfig, services: WorkerServices, localAddress: string) {
    this.config = config
    this.services = services
    this.localAddress = localAddress
    if (config.internalRanges.length === 0) this.internal = null
    else {
      this.internal = new BlockList()
      for (const range of config.internalRanges) {
        const slash = range.lastIndexOf('/')
        const ip = range.slice(0, slash)
        this.internal.addSubnet(ip, Number(range.slice(slash + 1)), isIP(ip) === 6 ? 'ipv6' : 'ipv4')
      }
    }
  }

  /**
   * Rewrites `h` in place and sets `connection.remote`-independent facts in `info` (request id, client address).
   *
   * @param routes whose internal_only_headers are taken off external requests; null = not there yet
   */
  apply(h: HeaderBlock, connection: Connection, info: StreamInfo, upgrade: boolean, routes: RouteTable | null): string {
    const config = this.config
    if (!upgrade) stripHopByHop(h)
    const tls = connection.tls !== null
    const peer = connection.remote.ip
    let client = peer
    let singleXff: boolean
    if (config.useRemoteAddress) {
      const xff = h.get('x-forwarded-for')
      singleXff = xff === undefined || xff === ''
      if (config.xffNumTrustedHops > 0) {
        const trusted = lastXff(xff, config.xffNumTrustedHops - 1)
        if (trusted !== '') client = trusted
      }
      if (!config.skipXffAppend) appendXff(h, xff, isLoopback(peer) ? this.localAddress : peer)
      if (config.xffNumTrustedHops === 0 || !h.has('x-forwarded-proto'))
        h.set('x-forwarded-proto', tls ? 'https' : 'http')
      if (config.appendXForwardedPort && (config.xffNumTrustedHops === 0 || !h.has('x-forwarded-port'))) {
        h.set('x-forwarded-port', String(connection.local.port))
      }
    } else if (config.originalIpDetection.length > 0) {
      const found = this.detect(h, peer)
      singleXff = found.length > 0 && this.single
      if (found !== '') client = found
    } else {
      const xff = h.get('x-forwarded-for')
      const trusted = lastXff(xff, config.xffNumTrustedHops)
      singleXff = trusted !== '' && xff!.indexOf(',') < 0
      if (trusted !== '') client = trusted
    }
    let proto = h.get('x-forwarded-proto')
    if (proto === undefined || proto === '') {
      proto = tls ? 'https' : 'http'
      h.set('x-forwarded-proto', proto)
    }
    if (config.schemeToOverwrite !== '') {
      h.scheme = config.schemeToOverwrite
      h.set('x-forwarded-proto', config.schemeToOverwrite)
    } else if (h.scheme === '') h.scheme = proto === 'http' || proto === 'https' ? proto : tls ? 'https' : 'http'
    const internal = singleXff && this.isInternal(client, peer)
    const edge = !internal && config.useRemoteAddress
    if (internal) {
      h.remove('x-envoy-internal')
      h.push('x-envoy-internal', 'true')
      info.requestIdInResponse = h.has('x-envoy-force-trace')
    } else {
      cleanInternal(h, edge ? edgeSet : steeringSet)
      const own = routes === null ? NONE : routes.internalOnlyHeaders
      for (let i = 0; i < own.length; i++) h.remove(own[i]!)
    }
    if (config.addUserAgent) {
      h.set('x-envoy-downstream-service-cluster', this.services.node.cluster)
      if (!h.has('user-agent')) h.set('user-agent', this.services.node.cluster)
      if (this.services.node.id !== '') h.set('x-envoy-downstream-service-node', this.services.node.id)
    }
    if (config.via !== '') {
      const via = h.get('via')
      h.set('via', via === undefined ? config.via : `${via}, ${config.via}`)
    }
    if (edge) h.set('x-envoy-external-address', client)
    if (config.generateRequestId) {
      const old = h.get('x-request-id')
      if (old === undefined || old === '' || (edge && !config.preserveExternalRequestId)) {
        h.set('x-request-id', newRequestId(this.services.random))
      } else if (edge && config.packTraceReason) {
        // A stranger does not decide what is traced.
        const kept = withReasonDigit(old, NOT_TRACED)
        if (kept !== old) h.set('x-request-id', kept)
      }
    }
    info.requestId = h.get('x-request-id') ?? ''
    if (config.forwardClientCert !== 'ALWAYS_FORWARD_ONLY') mutateClientCert(h, connection, config)
    return client
  }

  /** The first extension that finds an address names the client; '' = none does. */
  private detect(h: HeaderBlock, peer: string): string {
    const extensions = this.config.originalIpDetection
    const xff = h.get('x-forwarded-for')
    let found = ''
    let skipAppend = true
    for (let i = 0; i < extensions.length && found === ''; i++) {
      found = lastXff(xff, extensions[i]!.trustedHops)
      skipAppend = extensions[i]!.skipAppend
    }
    this.single = found !== '' && xff!.indexOf(',') < 0
    if (!skipAppend) appendXff(h, xff, isLoopback(peer) ? this.localAddress : peer)
    return found
  }

  private isInternal(ip: string, peer: string): boolean {
    const family = isIP(ip)
    // No XFF can name a Unix socket: only the peer itself is one.
    if (family === 0) return this.config.internalUnixSockets && ip === peer
    if (this.internal === null) return false
    return this.internal.check(ip, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/** Connection-nominated and hop-by-hop headers (RFC 9110 §7.6.1); `te` survives only as `trailers`. */
function stripHopByHop(h: HeaderBlock): void {
  const list = h.list
  let nominated: string | undefined
  let found = false
  for (let i = 0; i < list.length; i += 2) {
    switch (list[i]) {
      case 'connection':
        nominated = nominated === undefined ? list[i + 1]! : `${nominated},${list[i + 1]!}`
        found = true
        break
      case 'keep-alive':
      case 'proxy-connection':
      case 'transfer-encoding':
      case 'upgrade':
        found = true
        break
      case 'te':
        // Envoy keeps `trailers` alone out of a list.
        if (list[i + 1] !== 'trailers') {
          if (/(^|,)\s*trailers\s*(,|$)/i.test(list[i + 1]!)) list[i + 1] = 'trailers'
          else found = true
        }
        break
    }
  }
  if (!found) return
  if (nominated !== undefined && nominated !== 'keep-alive' && nominated !== 'close') {
    for (const token of nominated.toLowerCase().split(',')) {
      const name = token.trim()
      if (
        name !== '' &&
        name !== 'close' &&
        name !== 'keep-alive' &&
        name !== 'te' &&
        !name.startsWith(':') &&
        name !== 'host'
      )
        h.remove(name)
    }
  }
  let to = 0
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    if (
      name === 'connection' ||
      name === 'keep-alive' ||
      name === 'proxy-connection' ||
      name === 'transfer-encoding' ||
      name === 'upgrade' ||
      (name === 'te' && list[i + 1] !== 'trailers')
    ) {
      continue
    }
    list[to] = name
    list[to + 1] = list[i + 1]!
    to += 2
  }
  cut(list, to)
}

/** Envoy 1.40 takes these from every external request, also where use_remote_address is off. */
function cleanInternal(h: HeaderBlock, dropped: ReadonlySet<string>): void {
  const list = h.list
  let to = 0
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    if (name.startsWith('x-envoy-') && (name === 'x-envoy-internal' || dropped.has(name))) continue
    list[to] = name
    list[to + 1] = list[i + 1]!
    to += 2
  }
  cut(list, to)
}

/** The address `hops` entries before the last of XFF; '' when there is none or it is no address. */
function lastXff(xff: string | undefined, hops: number): string {
  if (xff === undefined || xff === '') return ''
  if (hops === 0 && xff.indexOf(',') < 0) return isIP(xff.trim()) === 0 ? '' : xff.trim()
  const all = xff.split(',')
  if (hops >= all.length) return ''
  const ip = all[all.length - 1 - hops]!.trim()
  return isIP(ip) === 0 ? '' : ip
}

function appendXff(h: HeaderBlock, xff: string | undefined, ip: string): void {
  // Without a blank, as Envoy does.
  h.set('x-forwarded-for', xff === undefined || xff === '' ? ip : `${xff},${ip}`)
}

export function isLoopback(ip: string): boolean {
  return ip.startsWith('127.') || ip === '::1'
}

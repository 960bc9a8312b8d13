import type { HeaderBlock } from '../codec/header-block.ts'
import { anyHeaderMatches, compileHeaderMatches, type HeaderMatch } from '../config/header-match.ts'
import type { Runtime } from '../config/services.ts'
import type { Host } from '../upstream/upstream.ts'
import type { RetryOverrides } from './retry.ts'
import type { RetryPolicy } from './route.ts'
import type { RetryPolicyConfig } from './route-config.ts'

/** Default base of the back-off: runtime `upstream.base_retry_backoff_ms`. */
const BASE_BACK_OFF = 25

export class CompiledRetryPolicy implements RetryPolicy {
  readonly retryOn: number
  readonly numRetries: number
  readonly asConfigured: RetryOverrides
  readonly perTryTimeout: number
  readonly perTryIdleTimeout: number
  readonly retriableStatusCodes: readonly number[]
  readonly hostSelectionRetryMaxAttempts: number
  readonly previousPriorities: number
  readonly config: RetryPolicyConfig
  readonly #headers: readonly HeaderMatch[]
  readonly #requestHeaders: readonly HeaderMatch[]
  readonly #runtime: Runtime

  constructor(config: RetryPolicyConfig, runtime: Runtime) {
    this.config = config
    this.retryOn = config.retryOn
    this.numRetries = config.numRetries
    this.asConfigured = { on: config.retryOn, numRetries: config.numRetries, statusCodes: [], headerNames: [] }
    this.perTryTimeout = config.perTryTimeout
    this.perTryIdleTimeout = config.perTryIdleTimeout
    this.retriableStatusCodes = config.retriableStatusCodes
    this.hostSelectionRetryMaxAttempts = config.hostSelectionMaxAttempts
    this.previousPriorities = config.previousPriorities
    this.#headers = compileHeaderMatches(config.retriableHeaders)
    this.#requestHeaders = compileHeaderMatches(config.retriableRequestHeaders)
    this.#runtime = runtime
  }

  get backOffBase(): number {
    if (this.config.backOffBase > 0) return this.config.backOffBase
    return Math.max(1, this.#runtime.integer('upstream.base_retry_backoff_ms', BASE_BACK_OFF))
  }

  /** Ten times the base unless configured. */
  get backOffMax(): number {
    return this.config.backOffMax > 0 ? this.config.backOffMax : this.backOffBase * 10
  }

  matchesRetriableHeaders(h: HeaderBlock): boolean {
    return anyHeaderMatches(this.#headers, h)
  }

  /** No matcher = every request may be retried. */
  matchesRetriableRequestHeaders(h: HeaderBlock): boolean {
    return this.#requestHeaders.length === 0 || anyHeaderMatches(this.#requestHeaders, h)
  }

  /** ResetHeaderParser: the first reset header with a time between now and max_interval. */
  rateLimitedDelay(h: HeaderBlock, wall: number): number {
    const headers = this.config.resetHeaders
    for (let i = 0; i < headers.length; i++) {
      const { name, format } = headers[i]!
      const value = h.get(name)
      if (value === undefined || !/^[0-9]{1,15}$/.test(value)) continue
      const seconds = Number(value)
      // Envoy counts whole seconds of the wall clock.
      const now = Math.floor(wall / 1000)
      const delay = (format === 'seconds' ? seconds : seconds - now) * 1000
      if (delay < 0 || (format === 'timestamp' && seconds < now)) continue
      if (delay <= this.config.resetMaxInterval) return delay
    }
    return -1
  }

  rejectHost(host: Host, attempted: readonly string[]): boolean {
    const { previousHosts, omitCanaryHosts, omitHostMetadata } = this.config
    if (previousHosts && attempted.includes(host.address.text)) return true
    if (!omitCanaryHosts && omitHostMetadata === null) return false
    const lb = host.metadata?.['envoy.lb'] as Readonly<Record<string, unknown>> | undefined
    if (omitCanaryHosts && lb?.['canary'] === true) return true
    const omit = omitHostMetadata?.['envoy.lb'] as Readonly<Record<string, unknown>> | undefined
    return omit !== undefined && lb !== undefined && containsAll(lb, omit)
  }
}

/** Envoy's Config::Metadata::metadataLabelMatch with an exact match of every key. */
function containsAll(actual: Readonly<Record<string, unknown>>, wanted: Readonly<Record<string, unknown>>): boolean {
  const keys = Object.keys(wanted)
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    if (JSON.stringify(actual[key]) !== JSON.stringify(wanted[key])) return false
  }
  return true
}

import { isIPv6 } from 'node:net'
import type { HeaderBlock } from '../codec/header-block.ts'
import { internName } from '../codec/header-block.ts'
import { allHeadersMatch, compileHeaderMatches } from '../config/header-match.ts'
import { latin1 } from '../config/matcher.ts'
import { metadataValue } from '../config/value-match.ts'
import { CidrTable, maskedAddress } from '../io/cidr-table.ts'
import { percentDecode } from '../telemetry/format-operators-headers.ts'
import { compileFormat, type TextFormatter } from '../telemetry/formatter.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { NamedMatch, queryMatches, queryValue } from './match.ts'
import type { Route } from './route.ts'
import { LIMIT_UNITS, type LimitUnit, type RateLimitActionConfig, type RateLimitConfig } from './route-config.ts'

/** What the rate limit actions of a route make of one request. */
export interface RateLimitDescriptor {
  /** Key, value, key, value …; latin1. */
  readonly entries: readonly string[]
  readonly hits: number
  /** False: nothing was said of hits. */
  readonly countsHits: boolean
  /** Instead of what the service has; null = none. */
  readonly limit: LimitOverride | null
  /** The hits are given back instead of taken. */
  readonly gives: boolean
  /** x_ratelimit_option; undefined = as the filter says. */
  readonly headers: boolean | undefined
}

export interface LimitOverride {
  readonly requests: number
  /** Number of envoy.type.v3.RateLimitUnit. */
  readonly unit: number
}

/** Of a request what actions look at. */
export interface RateLimitSubject {
  readonly requestHeaders: HeaderBlock | null
  readonly responseHeaders: HeaderBlock | null
  readonly responseTrailers: HeaderBlock | null
  readonly localReplyBody: string
  readonly info: StreamInfo
  route(): Route | null
}

/** One of `rate_limits`, compiled (source/common/router/router_ratelimit.cc). */
export class RateLimit {
  readonly stage: number
  /** '' = none. */
  readonly disableKey: string
  /** Runtime percentage by disable_key. */
  readonly runtimeKey: string
  readonly onStreamDone: boolean
  readonly #actions: readonly Action[]
  readonly #config: RateLimitConfig
  readonly #hits: TextFormatter | null

  constructor(config: RateLimitConfig) {
    this.stage = config.stage
    this.disableKey = config.disableKey
    this.runtimeKey = `ratelimit.${config.disableKey}.http_filter_enabled`
    this.onStreamDone = config.onStreamDone
    this.#config = config
    this.#actions = config.actions.map(compileAction)
    this.#hits = config.hitsFormat === '' ? null : compileFormat(config.hitsFormat, true)
  }

  /**
   * Null: an action has nothing to say about this request, so the others have nothing either. `cluster`: this proxy's own. `own`: it is
   * one of the filter that asks; what routes say of hits and headers Envoy takes no notice of.
   */
  descriptor(s: RateLimitSubject, cluster: string, own: boolean): RateLimitDescriptor | null {
    const entries: string[] = []
    for (let i = 0; i < this.#actions.length; i++) if (!this.#actions[i]!(s, cluster, entries)) return null
    const limit = this.#limit(s)
    if (!own) return { entries, hits: 1, countsHits: false, limit, gives: false, headers: undefined }
    let { hits } = this.#config
    if (this.#hits !== null) {
      const text = this.#hits.format(s)
      if (!/^[0-9]{1,15}$/.test(text)) return null
      hits = Number(text)
    }
    const { countsHits, gives, headers } = this.#config
    return { entries, hits, countsHits, limit, gives, headers }
  }

  #limit({ info }: RateLimitSubject): LimitOverride | null {
    const { limit } = this.#config
    if (limit === null) return null
    if (limit.kind === 'fixed') return { requests: limit.requests, unit: LIMIT_UNITS.indexOf(limit.unit) }
    const found = metadataValue(info.dynamicMetadata, limit.filter, limit.path) as LimitStruct | null | undefined
    const unit = LIMIT_UNITS.indexOf(found?.unit as LimitUnit)
    // Half of a limit is none (DynamicMetadataRateLimitOverride).
    if (typeof found?.requests_per_unit !== 'number' || unit < 0) return null
    return { requests: found.requests_per_unit >>> 0, unit }
  }
}

/** What metadata may hold. */
interface LimitStruct {
  readonly requests_per_unit?: unknown
  readonly unit?: unknown
}

/** Adds its entry; false: there is none, and no descriptor. */
type Action = (s: RateLimitSubject, cluster: string, entries: string[]) => boolean

function compileAction(config: RateLimitActionConfig): Action {
  switch (config.kind) {
    case 'sourceCluster':
      return (_s, cluster, entries) => entries.push('source_cluster', latin1(cluster)) > 0
    case 'destinationCluster':
      return (s, _cluster, entries) => {
        const action = s.route()?.action ?? null
        return action !== null && entries.push('destination_cluster', latin1(action.clusterName)) > 0
      }
    case 'header': {
      const name = config.name === 'host' ? ':authority' : internName(config.name)
      return (s, _cluster, entries) => add(entries, config, s.requestHeaders!.get(name))
    }
    case 'query':
      return (s, _cluster, entries) => {
        const { path } = s.requestHeaders!
        const mark = path.indexOf('?')
        const value = mark < 0 ? undefined : queryValue(path, mark + 1, config.name)
        return add(entries, config, value === undefined ? undefined : percentDecode(value))
      }
    case 'address':
      return (s, _cluster, entries) => addressEntry(config, s, entries)
    case 'constant':
      return (_s, _cluster, entries) => entries.push(config.key, config.value) > 0
    case 'headerMatch': {
      const matches = compileHeaderMatches(config.headers)
      return (s, _cluster, entries) =>
        allHeadersMatch(matches, s.requestHeaders!) === config.expected && entries.push(config.key, config.value) > 0
    }
    case 'queryMatch': {
      const matches = config.query.map(match => new NamedMatch(match))
      return (s, _cluster, entries) =>
        queryMatches(matches, s.requestHeaders!.path) === config.expected && entries.push(config.key, config.value) > 0
    }
    case 'addressMatch': {
      const ranges = new CidrTable<true>()
      for (const range of config.ranges) ranges.at(range, () => true)
      return (s, _cluster, entries) => {
        const address = s.info.client ?? s.info.connection!.remote
        if (address.port === 0) return false
        return (ranges.find(address.ip) !== null) !== config.invert && entries.push(config.key, config.value) > 0
      }
    }
    case 'metadata':
      return (s, _cluster, entries) => {
        const metadata = config.source === 'dynamic' ? s.info.dynamicMetadata : (s.route()?.metadata ?? null)
        const found = metadataValue(metadata, config.filter, config.path)
        const text = typeof found === 'string' && found !== '' ? latin1(found) : config.otherwise
        return add(entries, config, text === '' ? undefined : text)
      }
  }
}

function add(
  entries: string[],
  config: { readonly key: string; readonly optional: boolean },
  value: string | undefined,
): boolean {
  if (value === undefined) return config.optional
  entries.push(config.key, value)
  return true
}

function addressEntry(
  config: { readonly v4: number; readonly v6: number },
  s: RateLimitSubject,
  entries: string[],
): boolean {
  const address = s.info.client ?? s.info.connection!.remote
  if (address.port === 0) return false
  if (config.v4 < 0) entries.push('remote_address', address.ip)
  else {
    const bits = isIPv6(address.ip) ? config.v6 : config.v4
    entries.push('masked_remote_address', `${maskedAddress(address.ip, bits)}/${bits}`)
  }
  return true
}

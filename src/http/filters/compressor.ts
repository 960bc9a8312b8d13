import type { HeaderBlock } from '../../codec/header-block.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { findFactory, type ParsedExtension } from '../../config/registry.ts'
import { compileStringMatch, type StringMatch } from '../../config/string-match.ts'
import { spendChunk } from '../../io/chunk-pool.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import type { BodyCompressor, Compression, CompressionFactory } from '../compression/compressor.ts'
import { DataVerdict, HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import { isUpgradeRequest } from '../request-checks.ts'
import type { StreamContext } from '../stream-context.ts'
import { chooseEncoding, Decision, type EncodingChoice, type OfferedEncoding } from './compressor/accepted-encoding.ts'
import {
  type CompressorConfig,
  type CompressorOverride,
  type DirectionConfig,
  parseCompressor,
  parseCompressorOverride,
} from './compressor/config.ts'

type Proto = envoy.extensions.filters.http.compressor.v3.Compressor

export const compressorFactory: HttpFilterFactory<Proto, CompressorConfig, CompressorOverride> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.compressor',
  typeUrls: ['envoy.extensions.filters.http.compressor.v3.Compressor'],
  overrideTypeUrls: ['envoy.extensions.filters.http.compressor.v3.CompressorPerRoute'],
  parse: parseCompressor,
  parseOverride: (proto, at, warnings) => parseCompressorOverride(proto, at, warnings),
  create: (config, services) => new CompressorFilter(config, services),
  declareStats,
}

function declareStats(config: CompressorConfig, stats: StatsScope, httpPrefix: string): void {
  const scope = scopeOf(config, compressionOf(config.library), stats, httpPrefix)
  new DirectionCounters(scope.scope(config.hasResponseConfig ? 'response.' : ''))
  new DirectionCounters(scope.scope('request.'))
  new AcceptCounters(scope)
  scope.counter(ETAG)
}

function scopeOf(
  config: CompressorConfig,
  compression: Compression,
  stats: StatsScope,
  httpPrefix: string,
): StatsScope {
  return stats.scope(`${httpPrefix}compressor.${config.library.name}.${compression.statPrefix}.`)
}

const ETAG = 'not_compressed_etag'

/** Keys of what the compressors of a chain share in the filter state of a stream, as the real one has them. */
const REGISTRY = 'compressors'
const CHOICE = 'encoding_decision'

class CompressorState {
  /** null: the client did not say. */
  accept: string | null = null
  /** As the route has it, or the filter. */
  compression: Compression
  request: BodyCompressor | null = null
  response: BodyCompressor | null = null

  constructor(compression: Compression) {
    this.compression = compression
  }
}

/** envoy.filters.http.compressor: bodies of responses, and of requests, in the encoding of its library. */
class CompressorFilter implements HttpFilter<CompressorState> {
  index = 0
  name = ''
  readonly #config: CompressorConfig
  readonly #compression: Compression
  readonly #libraries = new Map<ParsedExtension, Compression>()
  readonly #response: Direction
  readonly #request: Direction
  readonly #accepts: AcceptCounters
  readonly #etag: Counter
  readonly #codes: ReadonlySet<number>

  constructor(config: CompressorConfig, services: HttpFilterServices) {
    this.#config = config
    this.#compression = compressionOf(config.library)
    const stats = scopeOf(config, this.#compression, services.stats, services.httpPrefix)
    this.#response = new Direction(config.response, services, stats.scope(config.hasResponseConfig ? 'response.' : ''))
    this.#request = new Direction(config.request ?? config.response, services, stats.scope('request.'))
    this.#accepts = new AcceptCounters(stats)
    this.#etag = stats.counter(ETAG)
    this.#codes = new Set(config.response.uncompressibleCodes)
  }

  newState(): CompressorState {
    return new CompressorState(this.#compression)
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock, end: boolean): HeadersVerdict {
    const state = s.slot(this.index) as CompressorState
    const override = this.#override(s)
    if (override !== null && override.library !== null) state.compression = this.#libraryOf(override.library)
    state.accept = h.getAll('accept-encoding') ?? null
    this.#register(s)
    if (this.#isOn(override) && (override?.removeAcceptEncoding ?? this.#config.response.removeAcceptEncoding)) {
      h.remove('accept-encoding')
    }
    const request = this.#request
    if (
      this.#config.request !== null &&
      !end &&
      request.isEnabled() &&
      !s.isUpgrade &&
      request.isLongEnough(h) &&
      request.takesType(h) &&
      !h.has('content-encoding') &&
      mayBeEncoded(h)
    ) {
      h.remove('content-length')
      h.set('content-encoding', state.compression.contentEncoding)
      request.compressed.inc()
      state.request = state.compression.newBody()
    } else request.notCompressed.inc()
    return HeadersVerdict.Continue
  }

  decodeData(s: StreamContext, d: Uint8Array, end: boolean): DataVerdict {
    const body = (s.slot(this.index) as CompressorState).request
    return body === null ? DataVerdict.Continue : this.#request.pass(s, body, d, end)
  }

  decodeTrailers(s: StreamContext): HeadersVerdict {
    const body = (s.slot(this.index) as CompressorState).request
    if (body !== null) s.addRequestData(this.index, this.#request.finish(body))
    return HeadersVerdict.Continue
  }

  encodeHeaders(s: StreamContext, h: HeaderBlock, end: boolean): HeadersVerdict {
    const state = s.slot(this.index) as CompressorState
    const response = this.#response
    const isLongEnough = this.#isOn(this.#override(s)) && response.isLongEnough(h)
    if (this.#config.response.statusHeader && !end) this.#encodeTold(s, state, h, isLongEnough)
    else {
      // Counted even when something else forbids it.
      const accepted = !end && isLongEnough && this.#accepted(s, state, h)
      const compressible = isLongEnough && this.#isCompressible(h)
      if (accepted && compressible && mayBeEncoded(h)) this.#begin(state, h)
      else response.notCompressed.inc()
      if (compressible) addVary(h)
    }
    return HeadersVerdict.Continue
  }

  encodeData(s: StreamContext, d: Uint8Array, end: boolean): DataVerdict {
    const body = (s.slot(this.index) as CompressorState).response
    return body === null ? DataVerdict.Continue : this.#response.pass(s, body, d, end)
  }

  encodeTrailers(s: StreamContext): HeadersVerdict {
    const body = (s.slot(this.index) as CompressorState).response
    if (body !== null) s.addResponseData(this.index, this.#response.finish(body))
    return HeadersVerdict.Continue
  }

  onDestroy(s: StreamContext): void {
    if (!s.hasSlot(this.index)) return
    const state = s.slot(this.index) as CompressorState
    state.request?.close()
    state.response?.close()
  }

  /** With x-envoy-compression-status, which changes the order of things: what is counted, and where vary stands. */
  #encodeTold(s: StreamContext, state: CompressorState, h: HeaderBlock, isLongEnough: boolean): void {
    const response = this.#response
    const compressible = isLongEnough && this.#isCompressible(h)
    if (compressible) {
      addVary(h)
      if (this.#accepted(s, state, h) && mayBeEncoded(h)) {
        const length = h.get('content-length') ?? ''
        this.#begin(state, h)
        h.push(STATUS, `${state.compression.contentEncoding};Compressed;OriginalLength=${length}`)
        return
      }
    } else {
      const reason = this.#reason(s, h)
      if (reason !== '') h.push(STATUS, `${state.compression.contentEncoding};${reason}`)
    }
    response.notCompressed.inc()
  }

  #reason(s: StreamContext, h: HeaderBlock): string {
    if (!this.#isOn(this.#override(s)) || h.has('content-encoding')) return ''
    if (!this.#response.isLongEnough(h)) return 'ContentLengthTooSmall'
    if (!this.#response.takesType(h)) return 'ContentTypeNotAllowed'
    if (this.#config.response.disableOnEtag && h.has('etag')) return 'EtagNotAllowed'
    return this.#codes.has(h.status) ? 'StatusCodeNotAllowed' : ''
  }

  #isCompressible(h: HeaderBlock): boolean {
    if (isUpgradeRequest(h) || !this.#response.takesType(h) || forbidsTransform(h)) return false
    if (this.#config.response.disableOnEtag && h.has('etag')) {
      this.#etag.inc()
      return false
    }
    return !h.has('content-encoding') && !this.#codes.has(h.status)
  }

  #begin(state: CompressorState, h: HeaderBlock): void {
    const etag = h.get('etag')
    if (etag !== undefined && !/^w\//i.test(etag)) {
      if (this.#config.response.weakenEtag) h.set('etag', `W/${etag}`)
      else h.remove('etag')
    }
    h.remove('content-length')
    h.set('content-encoding', state.compression.contentEncoding)
    this.#response.compressed.inc()
    state.response = state.compression.newBody()
  }

  #isOn(override: CompressorOverride | null): boolean {
    return override?.disabled !== true && this.#response.isEnabled()
  }

  #override(s: StreamContext): CompressorOverride | null {
    const configs = s.route()?.filterConfigs(this.name) as readonly CompressorOverride[] | undefined
    return configs?.at(-1) ?? null
  }

  #libraryOf(library: ParsedExtension): Compression {
    let known = this.#libraries.get(library)
    if (known === undefined) {
      // Configuration objects come anew with every push.
      if (this.#libraries.size >= 256) this.#libraries.clear()
      known = compressionOf(library)
      this.#libraries.set(library, known)
    }
    return known
  }

  /** Every compressor of the chain takes part in the choice, whichever comes first. */
  #register(s: StreamContext): void {
    const others = (s.info.state(REGISTRY) as Registry | undefined) ?? NO_ONE
    s.info.setState(REGISTRY, [...others, this])
  }

  /** Whether the client wants what this filter makes; decided once for all compressors. */
  #accepted(s: StreamContext, state: CompressorState, h: HeaderBlock): boolean {
    if (state.accept === null) {
      this.#accepts.none.inc()
      return false
    }
    let choice = s.info.state(CHOICE) as EncodingChoice | undefined
    if (choice === undefined) {
      const registry = (s.info.state(REGISTRY) as Registry | undefined) ?? NO_ONE
      const offered: OfferedEncoding[] = []
      for (const filter of registry) if (filter.#response.takesType(h)) offered.push(filter.#offer(s))
      choice = chooseEncoding(state.accept, offered)
      s.info.setState(CHOICE, choice)
    }
    const mine = choice.encoding === state.compression.contentEncoding
    this.#accepts.count(choice.decision, mine)
    return mine
  }

  #offer(s: StreamContext): OfferedEncoding {
    const { compression } = s.slot(this.index) as CompressorState
    return { encoding: compression.contentEncoding, chooseFirst: this.#config.chooseFirst }
  }
}

type Registry = readonly CompressorFilter[]
const NO_ONE: Registry = []
const STATUS = 'x-envoy-compression-status'

class DirectionCounters {
  readonly compressed: Counter
  readonly notCompressed: Counter
  readonly tooSmall: Counter
  readonly bytesIn: Counter
  readonly bytesOut: Counter

  constructor(stats: StatsScope) {
    this.compressed = stats.counter('compressed')
    this.notCompressed = stats.counter('not_compressed')
    this.tooSmall = stats.counter('content_length_too_small')
    this.bytesIn = stats.counter('total_uncompressed_bytes')
    this.bytesOut = stats.counter('total_compressed_bytes')
  }
}

/** Settings and counters of requests or of responses. */
class Direction extends DirectionCounters {
  readonly #config: DirectionConfig
  readonly #services: HttpFilterServices
  readonly #types: ReadonlySet<string>
  readonly #matchers: readonly StringMatch[]

  constructor(config: DirectionConfig, services: HttpFilterServices, stats: StatsScope) {
    super(stats)
    this.#config = config
    this.#services = services
    this.#types = new Set(config.contentTypes)
    this.#matchers = config.contentTypeMatchers.map(compileStringMatch)
  }

  isEnabled(): boolean {
    const { byDefault, key } = this.#config.enabled
    return key === '' ? byDefault : this.#services.runtime.boolean(key, byDefault)
  }

  /** A message that does not say how long it is, is long enough. */
  isLongEnough(h: HeaderBlock): boolean {
    const length = h.get('content-length')
    if (length === undefined || Number(length) >= this.#config.minContentLength) return true
    this.tooSmall.inc()
    return false
  }

  takesType(h: HeaderBlock): boolean {
    const type = h.get('content-type')
    if (type === undefined) return true
    const semicolon = type.indexOf(';')
    const essence = (semicolon < 0 ? type : type.slice(0, semicolon)).trim()
    const matchers = this.#matchers
    if (matchers.length === 0) return this.#types.has(essence.toLowerCase())
    return matchers.some(matcher => matcher.matches(essence))
  }

  pass(s: StreamContext, body: BodyCompressor, chunk: Uint8Array, end: boolean): DataVerdict {
    this.bytesIn.add(chunk.length)
    s.replacement = body.compress(chunk, end)
    spendChunk(chunk, chunk.length)
    this.bytesOut.add(s.replacement.length)
    return DataVerdict.Replace
  }

  /** The last bytes of a body that trailers follow. */
  finish(body: BodyCompressor): Uint8Array {
    const rest = body.compress(NOTHING, true)
    this.bytesOut.add(rest.length)
    return rest
  }
}

const NOTHING = new Uint8Array(0)

/** Why bodies were compressed by this filter, or not. */
class AcceptCounters {
  readonly none: Counter
  readonly #used: Counter
  readonly #overshadowed: Counter
  readonly #identity: Counter
  readonly #wildcard: Counter
  readonly #notValid: Counter

  constructor(stats: StatsScope) {
    this.none = stats.counter('no_accept_header')
    this.#used = stats.counter('header_compressor_used')
    this.#overshadowed = stats.counter('header_compressor_overshadowed')
    this.#identity = stats.counter('header_identity')
    this.#wildcard = stats.counter('header_wildcard')
    this.#notValid = stats.counter('header_not_valid')
  }

  count(decision: Decision, mine: boolean): void {
    if (decision === Decision.Compressor) (mine ? this.#used : this.#overshadowed).inc()
    else if (decision === Decision.Identity) this.#identity.inc()
    else if (decision === Decision.Wildcard) this.#wildcard.inc()
    else this.#notValid.inc()
  }
}

function compressionOf({ category, typeUrl, config }: ParsedExtension): Compression {
  return (findFactory(category, typeUrl) as unknown as CompressionFactory<object, unknown>).create(config)
}

/** Not what is compressed on the way already (RFC 9112 §7.2). */
function mayBeEncoded(h: HeaderBlock): boolean {
  const codings = h.get('transfer-encoding')
  return codings === undefined || !/(^|,)\s*(gzip|deflate)\s*(,|$)/i.test(codings)
}

function forbidsTransform(h: HeaderBlock): boolean {
  const value = h.get('cache-control')
  return value !== undefined && /(^|,)\s*no-transform\s*(,|$)/i.test(value)
}

/** Caches must know, also of what was not compressed this time. The word is looked for as it is spelled here, as in Envoy. */
function addVary(h: HeaderBlock): void {
  const vary = h.get('vary')
  if (vary === undefined) h.push('vary', 'Accept-Encoding')
  else if (!vary.split(',').some(word => word.trim() === 'Accept-Encoding')) h.set('vary', `${vary}, Accept-Encoding`)
}

import { HeaderMatch } from '../config/header-match.ts'
import type { WorkerServices } from '../config/services.ts'
import { MetadataMatch, metadataValue } from '../config/value-match.ts'
import type { AccessLogFilterConfig, ComparisonConfig } from './access-log-filter-config.ts'
import { compileCel } from './cel.ts'
import type { AccessLogType, FormatContext } from './format-context.ts'
import { grpcStatusOf } from './format-operators-headers.ts'

/** `StreamInfo.traceReason`: why a request is traced (Envoy's Tracing::Reason, as its request id carries it). */
export const TraceReason = { None: 0, Sampled: 1, ClientForced: 2, ServiceForced: 3 } as const
export type TraceReason = (typeof TraceReason)[keyof typeof TraceReason]

type FilterServices = Pick<WorkerServices, 'runtime' | 'random' | 'timers' | 'node'>

/** A compiled envoy.config.accesslog.v3.AccessLogFilter (source/common/access_log/access_log_impl.cc). */
export interface AccessLogFilter {
  passes(context: FormatContext, type: AccessLogType): boolean
}

export function compileAccessLogFilter(config: AccessLogFilterConfig, services: FilterServices): AccessLogFilter {
  switch (config.kind) {
    case 'and':
    case 'or':
      return new CompoundFilter(
        config.kind === 'and',
        config.filters.map(filter => compileAccessLogFilter(filter, services)),
      )
    case 'status':
    case 'duration':
      return new ComparisonFilter(config.kind, config.comparison, services)
    case 'runtime':
      return new RuntimeFilter(config, services)
    case 'header': {
      const header = new HeaderMatch(config.header)
      return { passes: c => c.requestHeaders !== null && header.matches(c.requestHeaders) }
    }
    case 'metadata':
      return new MetadataFilter(config)
    case 'grpcStatus':
      // No status at all counts as UNKNOWN.
      return { passes: c => config.statuses.includes(grpcStatusOf(c) ?? 2) !== config.exclude }
    case 'flags':
      return { passes: c => (config.mask === 0 ? c.info.flags !== 0 : (c.info.flags & config.mask) !== 0) }
    case 'notHealthCheck':
      return { passes: c => !(c.requestHeaders?.get('user-agent') ?? '').startsWith('Envoy/HC') }
    case 'traceable':
      return { passes: c => c.info.traceReason === TraceReason.ServiceForced }
    case 'cel': {
      const program = compileCel(config.node)
      // An error is no match, as in Envoy; a program that does not compile has been refused before.
      return { passes: c => typeof program !== 'string' && program(c, services.node) === true }
    }
    case 'logType':
      return { passes: (_, type) => config.types.includes(type) !== config.exclude }
  }
}

class CompoundFilter implements AccessLogFilter {
  readonly #all: boolean
  readonly #filters: readonly AccessLogFilter[]

  constructor(all: boolean, filters: readonly AccessLogFilter[]) {
    this.#all = all
    this.#filters = filters
  }

  passes(context: FormatContext, type: AccessLogType): boolean {
    for (let i = 0; i < this.#filters.length; i++) {
      if (this.#filters[i]!.passes(context, type) !== this.#all) return !this.#all
    }
    return this.#all
  }
}

class ComparisonFilter implements AccessLogFilter {
  readonly #kind: 'status' | 'duration'
  readonly #config: ComparisonConfig
  readonly #services: FilterServices

  constructor(kind: 'status' | 'duration', config: ComparisonConfig, services: FilterServices) {
    this.#kind = kind
    this.#config = config
    this.#services = services
  }

  passes(context: FormatContext): boolean {
    const { op, value: configured, runtimeKey } = this.#config
    const limit = runtimeKey === '' ? configured : this.#services.runtime.integer(runtimeKey, configured)
    const value = this.#kind === 'status' ? context.info.responseCode : this.#duration(context)
    if (value < 0) return false
    if (op === 'GE') return value >= limit
    if (op === 'LE') return value <= limit
    return (value === limit) === (op === 'EQ')
  }

  /** Until now for streams that are not over. */
  #duration(context: FormatContext): number {
    const { start, end } = context.info
    if (start < 0) return -1
    return Math.trunc((end < 0 ? this.#services.timers.now() : end) - start)
  }
}

class RuntimeFilter implements AccessLogFilter {
  readonly #config: Extract<AccessLogFilterConfig, { kind: 'runtime' }>
  readonly #services: FilterServices

  constructor(config: Extract<AccessLogFilterConfig, { kind: 'runtime' }>, services: FilterServices) {
    this.#config = config
    this.#services = services
  }

  /** The request id decides, so that all hops log the same requests. */
  passes(context: FormatContext): boolean {
    const { fraction, independent } = this.#config
    const id = independent ? Number.NaN : Number.parseInt(context.info.requestId.slice(0, 8), 16)
    const random = Number.isNaN(id) ? this.#services.random.next() : id
    return this.#services.runtime.fraction(fraction.key, fraction.numerator, fraction.denominator, random)
  }
}

class MetadataFilter implements AccessLogFilter {
  readonly #match: MetadataMatch | null
  readonly #ifMissing: boolean

  constructor(config: Extract<AccessLogFilterConfig, { kind: 'metadata' }>) {
    this.#match = config.matcher === null ? null : new MetadataMatch(config.matcher)
    this.#ifMissing = config.ifMissing
  }

  passes(context: FormatContext): boolean {
    const match = this.#match
    if (match === null) return this.#ifMissing
    const metadata = context.info.dynamicMetadata
    if (metadataValue(metadata, match.filter, match.path) === undefined) return this.#ifMissing
    return match.matches(metadata)
  }
}

import { ConfigError } from '../base/errors.ts'
import type { AccessLogFilterConfig, ComparisonConfig } from '../telemetry/access-log-filter-config.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/access-log-config.ts'
import type { AnyMessage } from './any.ts'
import { parseCel } from './cel.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { parseFraction, parseHeaderMatcher, parseMetadataMatcher } from './matcher.ts'
import { parseAny, typeNameOf } from './registry.ts'
import { defineSupport } from './support.ts'

type Filter = envoy.config.accesslog.v3.AccessLogFilter
type CelFilter = envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter

/** access_log of listeners, connection managers, TCP proxies and routers. Throws ConfigError. */
export function parseAccessLogs(
  protos: readonly envoy.config.accesslog.v3.AccessLog[],
  at: FieldPath,
  warnings: string[],
): AccessLogConfig[] {
  return protos.map((proto, i) => parseAccessLog(proto, at.index(i), warnings))
}

export function parseAccessLog(
  proto: envoy.config.accesslog.v3.AccessLog,
  at: FieldPath,
  warnings: string[],
): AccessLogConfig {
  const place = at.field('typed_config')
  const logger = parseAny(proto.typed_config, 'envoy.access_loggers', proto.name ?? '', place, warnings)
  return { filter: proto.filter === undefined ? null : parseAccessLogFilter(proto.filter, at.field('filter')), logger }
}

export function parseAccessLogFilter(proto: Filter, at: FieldPath): AccessLogFilterConfig {
  if (proto.status_code_filter !== undefined) {
    return { kind: 'status', comparison: comparison(proto.status_code_filter.comparison) }
  }
  if (proto.duration_filter !== undefined) {
    return { kind: 'duration', comparison: comparison(proto.duration_filter.comparison) }
  }
  if (proto.not_health_check_filter !== undefined) return { kind: 'notHealthCheck' }
  if (proto.traceable_filter !== undefined) return { kind: 'traceable' }
  if (proto.runtime_filter !== undefined) return runtimeFilter(proto.runtime_filter)
  if (proto.and_filter !== undefined) return compound('and', proto.and_filter.filters, at.field('and_filter'))
  if (proto.or_filter !== undefined) return compound('or', proto.or_filter.filters, at.field('or_filter'))
  if (proto.header_filter !== undefined) {
    const place = at.field('header_filter').field('header')
    return { kind: 'header', header: parseHeaderMatcher(proto.header_filter.header ?? {}, place) }
  }
  if (proto.response_flag_filter !== undefined) return flagFilter(proto.response_flag_filter, at)
  if (proto.grpc_status_filter !== undefined) {
    const { statuses = [], exclude = false } = proto.grpc_status_filter
    return { kind: 'grpcStatus', statuses: statuses.map(grpcCode), exclude }
  }
  if (proto.metadata_filter !== undefined) {
    const { matcher, match_if_key_not_found: ifMissing = true } = proto.metadata_filter
    const place = at.field('metadata_filter').field('matcher')
    return {
      kind: 'metadata',
      matcher: matcher === undefined ? null : parseMetadataMatcher(matcher, place),
      ifMissing,
    }
  }
  if (proto.log_type_filter !== undefined) return logTypeFilter(proto.log_type_filter)
  if (proto.extension_filter !== undefined) {
    const name = proto.extension_filter.name ?? ''
    if (typeNameOf(proto.extension_filter.typed_config) === CEL_FILTER) {
      return celFilter(proto.extension_filter.typed_config!, at.field('extension_filter').field('typed_config').any())
    }
    const text = `access log filter '${name}' is not supported yet`
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field('extension_filter'), text)
  }
  throw new ConfigError('CONFIG_INVALID', at, 'access log filter without a filter_specifier')
}

const CEL_FILTER = 'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter'

const celSupport = defineSupport<CelFilter>(CEL_FILTER, { expression: 'yes', cel_config: 'reject' })

function celFilter(any: AnyMessage, at: FieldPath): AccessLogFilterConfig {
  const proto = (any.message ?? {}) as CelFilter
  celSupport.check(proto, at, [])
  const node = parseCel(proto.expression ?? '')
  if (typeof node === 'string') {
    throw new ConfigError('CONFIG_INVALID', at.field('expression'), `Not able to parse filter expression: ${node}`)
  }
  return { kind: 'cel', node }
}

function comparison(proto: envoy.config.accesslog.v3.ComparisonFilter | undefined): ComparisonConfig {
  const op = proto?.op
  return {
    op: op === 'GE' || op === 'LE' || op === 'NE' ? op : 'EQ',
    value: proto?.value?.default_value ?? 0,
    runtimeKey: proto?.value?.runtime_key ?? '',
  }
}

function runtimeFilter(proto: envoy.config.accesslog.v3.RuntimeFilter): AccessLogFilterConfig {
  return {
    kind: 'runtime',
    fraction: parseFraction(proto.percent_sampled, proto.runtime_key),
    independent: proto.use_independent_randomness ?? false,
  }
}

function compound(kind: 'and' | 'or', filters: readonly Filter[] | undefined, at: FieldPath): AccessLogFilterConfig {
  const place = at.field('filters')
  return { kind, filters: (filters ?? []).map((filter, i) => parseAccessLogFilter(filter, place.index(i))) }
}

/** Short names by bit, the same order as telemetry/response-flags.ts, which this layer may not import. */
const FLAGS =
  'LH UH UT LR UR UF UC UO NR DI FI RL UAEX RLSE DC URX SI IH DPE UMSDR RFCF NFCF DT UPE NC OM DF DO DR UDO'.split(' ')

function flagFilter(proto: envoy.config.accesslog.v3.ResponseFlagFilter, at: FieldPath): AccessLogFilterConfig {
  let mask = 0
  for (const flag of proto.flags ?? []) {
    const bit = FLAGS.indexOf(flag)
    if (bit < 0) {
      const place = at.field('response_flag_filter').field('flags')
      throw new ConfigError('CONFIG_INVALID', place, `unknown response flag '${flag}'`)
    }
    mask |= 1 << bit
  }
  return { kind: 'flags', mask }
}

const GRPC_CODES = [
  'OK',
  'CANCELED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
]

function grpcCode(status: envoy.config.accesslog.v3.GrpcStatusFilter_Status): number {
  return typeof status === 'number' ? status : GRPC_CODES.indexOf(status)
}

/** The API's enum names as %ACCESS_LOG_TYPE% writes them: DownstreamEnd and so on. */
function logTypeFilter(proto: envoy.config.accesslog.v3.LogTypeFilter): AccessLogFilterConfig {
  const types = (proto.types ?? []).map(
    type => String(type) as Extract<AccessLogFilterConfig, { kind: 'logType' }>['types'][number],
  )
  return { kind: 'logType', types, exclude: proto.exclude ?? false }
}

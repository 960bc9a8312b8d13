import { ConfigError } from '../../../base/errors.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { FormatExtension } from '../../../config/format-string.ts'
import type { envoy, opentelemetry } from '../../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../../config/grpc-service.ts'
import { type HttpServiceConfig, parseHttpService } from '../../../config/http-service.ts'
import { checkFormat, parseFormatters } from '../../../config/substitution-format.ts'
import { defineSupport } from '../../../config/support.ts'
import { detectResource } from '../../resource-detectors.ts'
import type { CustomTagConfig } from '../../tracing-config.ts'
import { parseCommonGrpc } from '../grpc/common-config.ts'
import { identityOf } from '../grpc/identity.ts'
import { parseLogTags } from '../log-tags.ts'
import { encodeKeyValue } from './key-value.ts'

export type OpenTelemetryProto = envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig
type AnyValue = opentelemetry.proto.common.v1.AnyValue
type KeyValue = opentelemetry.proto.common.v1.KeyValue

/** A value of the log record: a format text, or a tree of them. */
export type ValueConfig =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly ValueConfig[] }
  | { readonly kind: 'map'; readonly entries: readonly EntryConfig[] }

export interface EntryConfig {
  readonly key: string
  readonly value: ValueConfig
}

export type LogTransportConfig =
  | { readonly kind: 'grpc'; readonly service: GrpcServiceConfig }
  | { readonly kind: 'http'; readonly service: HttpServiceConfig }

/** envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig, parsed and cloneable. */
export interface OpenTelemetryConfig {
  /** The whole message: loggers that are configured the same share a buffer. */
  readonly identity: string
  readonly transport: LogTransportConfig
  readonly logName: string
  readonly builtinLabels: boolean
  /** Key and encoded opentelemetry.proto.common.v1.KeyValue. */
  readonly resource: readonly { readonly key: string; readonly entry: Uint8Array }[]
  readonly body: ValueConfig | null
  readonly attributes: readonly EntryConfig[]
  readonly filterState: readonly string[]
  readonly customTags: readonly CustomTagConfig[]
  /** `access_logs.open_telemetry_access_log.` and what stat_prefix adds. */
  readonly statsPrefix: string
  /** ms */
  readonly flushInterval: number
  /** bytes */
  readonly bufferSize: number
  readonly extensions: readonly FormatExtension[]
}

const SUPPORT = defineSupport<OpenTelemetryProto>(
  'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig',
  {
    common_config: 'yes',
    http_service: 'yes',
    grpc_service: 'yes',
    disable_builtin_labels: 'yes',
    resource_attributes: 'yes',
    resource_detectors: 'yes',
    body: 'yes',
    attributes: 'yes',
    stat_prefix: 'yes',
    formatters: 'yes',
    log_name: 'yes',
    buffer_flush_interval: 'yes',
    buffer_size_bytes: 'yes',
    filter_state_objects_to_log: 'yes',
    custom_tags: 'yes',
  },
)

const DEFAULT_INTERVAL = 1000
const DEFAULT_SIZE = 16384
const STATS = 'access_logs.open_telemetry_access_log.'

export function parseOpenTelemetry(proto: OpenTelemetryProto, at: FieldPath, warnings: string[]): OpenTelemetryConfig {
  SUPPORT.check(proto, at, warnings)
  const common =
    proto.common_config === undefined ? null : parseCommonGrpc(proto.common_config, at.field('common_config'), warnings)
  for (const field of ['filter_state_objects_to_log', 'custom_tags'] as const) {
    if ((proto.common_config?.[field] ?? []).length === 0) continue
    const place = at.field('common_config').field(field)
    warnings.push(`${place}: not looked at by this logger, which has a field of that name itself`)
  }
  const extensions = parseFormatters(proto.formatters, at.field('formatters'))
  const prefix = proto.stat_prefix ?? ''
  return {
    identity: identityOf(proto),
    transport: transport(proto, common?.service ?? null, at, warnings),
    logName: proto.log_name || (common?.logName ?? ''),
    builtinLabels: proto.disable_builtin_labels !== true,
    resource: [...detected(proto, at, warnings), ...(proto.resource_attributes?.values ?? [])].map(entry => ({
      key: entry.key ?? '',
      entry: encodeKeyValue(entry),
    })),
    body: hasValue(proto.body) ? parseValue(proto.body!, at.field('body'), extensions) : null,
    attributes: parseEntries(proto.attributes?.values, at.field('attributes').field('values'), extensions),
    filterState: proto.filter_state_objects_to_log ?? [],
    customTags: parseLogTags(proto.custom_tags, at.field('custom_tags'), warnings),
    statsPrefix: prefix === '' ? STATS : `${STATS}${prefix.replace(/\.$/, '')}.`,
    // The real one takes no notice of the message's own two fields when it sends by gRPC; what they say is meant, though.
    flushInterval: chosen(common?.flushInterval, proto.buffer_flush_interval, DEFAULT_INTERVAL),
    bufferSize: chosen(common?.bufferSize, proto.buffer_size_bytes, DEFAULT_SIZE),
    extensions,
  }
}

/** What detectors found comes between the labels that Envoy adds and what is configured. */
function detected(proto: OpenTelemetryProto, at: FieldPath, warnings: string[]): KeyValue[] {
  const found = new Map<string, string>()
  detectResource(found, proto.resource_detectors, at.field('resource_detectors'), warnings)
  return [...found].map(([key, string_value]) => ({ key, value: { string_value } }))
}

function chosen(common: number | undefined, own: number | undefined, otherwise: number): number {
  if (common !== undefined && common >= 0) return common
  return own ?? otherwise
}

function transport(
  proto: OpenTelemetryProto,
  common: GrpcServiceConfig | null,
  at: FieldPath,
  warnings: string[],
): LogTransportConfig {
  const { grpc_service: grpc, http_service: http } = proto
  const count = (common === null ? 0 : 1) + (grpc === undefined ? 0 : 1) + (http === undefined ? 0 : 1)
  const three = 'grpc_service, http_service, or common_config.grpc_service'
  if (count === 0) {
    const text = `OpenTelemetry access logger requires one of: ${three} to be configured.`
    throw new ConfigError('CONFIG_INVALID', at, text)
  }
  if (count > 1) {
    const text = `OpenTelemetry access logger can only have one transport configured. Specify exactly one of: ${three}.`
    throw new ConfigError('CONFIG_INVALID', at, text)
  }
  if (http !== undefined) return { kind: 'http', service: parseHttpService(http, at.field('http_service'), warnings) }
  if (common !== null) return { kind: 'grpc', service: common }
  return { kind: 'grpc', service: parseGrpcService(grpc!, at.field('grpc_service'), warnings) }
}

function parseValue(proto: AnyValue, at: FieldPath, extensions: readonly FormatExtension[]): ValueConfig {
  if (proto.string_value !== undefined) {
    checkFormat(proto.string_value, at.field('string_value'), extensions)
    return { kind: 'text', text: proto.string_value }
  }
  if (proto.array_value !== undefined) {
    const place = at.field('array_value').field('values')
    const items = (proto.array_value.values ?? []).map((item, i) => parseValue(item, place.index(i), extensions))
    return { kind: 'list', items }
  }
  if (proto.kvlist_value !== undefined) {
    const place = at.field('kvlist_value').field('values')
    return { kind: 'map', entries: parseEntries(proto.kvlist_value.values, place, extensions) }
  }
  const text =
    'Only string values, nested key value lists and array values are supported in OpenTelemetry access log format.'
  throw new ConfigError('CONFIG_INVALID', at, text)
}

function parseEntries(
  protos: readonly KeyValue[] | undefined,
  at: FieldPath,
  extensions: readonly FormatExtension[],
): EntryConfig[] {
  return (protos ?? []).map(({ key = '', value = {} }, i) => ({
    key,
    value: parseValue(value, at.index(i).field('value'), extensions),
  }))
}

/** `body: {}` is no body. */
function hasValue(proto: AnyValue | undefined): boolean {
  return proto !== undefined && Object.values(proto).some(value => value !== undefined)
}

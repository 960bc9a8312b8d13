import { ConfigError } from '../base/errors.ts'
import type {
  CustomTagConfig,
  DecoratorConfig,
  TagType,
  TracingConfig,
  TracingLevelConfig,
} from '../telemetry/tracing-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { latin1, parseFraction } from './matcher.ts'
import { percent } from './percent.ts'
import { type ParsedExtension, parseAny, typeNameOf } from './registry.ts'
import { checkFormat } from './substitution-format.ts'
import { defineSupport } from './support.ts'

type HcmTracing = envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager_Tracing
type RouteTracing = envoy.config.route.v3.Tracing
type CustomTag = envoy.type.tracing.v3.CustomTag
type Decorator = envoy.config.route.v3.Decorator
type Bootstrap = envoy.config.bootstrap.v3.Bootstrap
type Provider = envoy.config.trace.v3.Tracing_Http

const SUPPORT = defineSupport<HcmTracing>(
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing',
  {
    client_sampling: 'yes',
    random_sampling: 'yes',
    overall_sampling: 'yes',
    verbose: 'yes',
    max_path_tag_length: 'yes',
    custom_tags: 'yes',
    provider: 'yes',
    spawn_upstream_span: 'yes',
    operation: 'yes',
    upstream_operation: 'yes',
    no_context_propagation: 'yes',
  },
)

const ROUTE_SUPPORT = defineSupport<RouteTracing>('envoy.config.route.v3.Tracing', {
  client_sampling: 'yes',
  random_sampling: 'yes',
  overall_sampling: 'yes',
  custom_tags: 'yes',
  operation: 'yes',
  upstream_operation: 'yes',
})

const TAG_SUPPORT = defineSupport<CustomTag>('envoy.type.tracing.v3.CustomTag', {
  tag: 'yes',
  literal: 'yes',
  environment: 'yes',
  request_header: 'yes',
  metadata: 'yes',
  value: 'yes',
  value_type: 'yes',
})

const DECORATOR_SUPPORT = defineSupport<Decorator>('envoy.config.route.v3.Decorator', {
  operation: 'yes',
  propagate: 'yes',
})

/**
 * `tracing` of the bootstrap, deprecated: what connection managers without a provider of their own use. One setting of the process,
 * as in Envoy (Http::Context::defaultTracingConfig): set once when the bootstrap is read.
 */
let defaultProvider: ParsedExtension | null = null

export function readDefaultTracing(proto: Bootstrap['tracing'], at: FieldPath, tell: (text: string) => void): void {
  defaultProvider = null
  if (proto?.http === undefined) return
  const warnings = [`${at}: deprecated, set tracing.provider of the connection managers instead`]
  defaultProvider = parseTracingProvider(proto.http, at.field('http'), warnings)
  for (const text of warnings) tell(text)
}

export function parseTracing(proto: HcmTracing, at: FieldPath, warnings: string[]): TracingConfig {
  SUPPORT.check(proto, at, warnings)
  return {
    // As Envoy: client sampling in whole percents, the others in hundredths.
    clientSampling: { key: CLIENT, numerator: Math.trunc(percent(proto.client_sampling, 100)), denominator: 100 },
    randomSampling: { key: RANDOM, numerator: hundredths(proto.random_sampling), denominator: 10_000 },
    overallSampling: { key: OVERALL, numerator: hundredths(proto.overall_sampling), denominator: 10_000 },
    ...names(proto, at, warnings),
    verbose: proto.verbose ?? false,
    maxPathTagLength: proto.max_path_tag_length ?? 256,
    spawnUpstreamSpan: proto.spawn_upstream_span ?? false,
    noContextPropagation: proto.no_context_propagation ?? false,
    provider:
      proto.provider === undefined
        ? defaultProvider
        : parseTracingProvider(proto.provider, at.field('provider'), warnings),
  }
}

/** Tracers of the real proxy that are not there yet. They concern no traffic: a pod that names one is to run, without spans. */
const NOT_YET = new Set([
  'envoy.config.trace.v3.DatadogConfig',
  'envoy.config.trace.v3.SkyWalkingConfig',
  'envoy.config.trace.v3.XRayConfig',
  'envoy.extensions.tracers.fluentd.v3.FluentdConfig',
])

/** @returns null after a warning. @throws ConfigError for a tracer that the real proxy has not either, in its words */
export function parseTracingProvider(proto: Provider, at: FieldPath, warnings: string[]): ParsedExtension | null {
  const type = typeNameOf(proto.typed_config)
  if (NOT_YET.has(type)) {
    warnings.push(`${at.field('typed_config')}: the tracer ${type} is not supported, no spans are reported`)
    return null
  }
  return parseAny(proto.typed_config, 'envoy.tracers', proto.name ?? '', at.field('typed_config'), warnings)
}

export function parseRouteTracing(proto: RouteTracing, at: FieldPath, warnings: string[]): TracingLevelConfig {
  ROUTE_SUPPORT.check(proto, at, warnings)
  return {
    clientSampling: parseFraction(proto.client_sampling, CLIENT, ALL),
    randomSampling: parseFraction(proto.random_sampling, RANDOM, ALL),
    overallSampling: parseFraction(proto.overall_sampling, OVERALL, ALL),
    ...names(proto, at, warnings),
  }
}

export function parseDecorator(proto: Decorator, at: FieldPath, warnings: string[]): DecoratorConfig {
  DECORATOR_SUPPORT.check(proto, at, warnings)
  return { operation: latin1(proto.operation ?? ''), propagate: proto.propagate ?? true }
}

/** Runtime keys that replace the configured shares. */
const CLIENT = 'tracing.client_enabled'
const RANDOM = 'tracing.random_sampling'
const OVERALL = 'tracing.global_enabled'
const ALL = { numerator: 100, denominator: 100 }

function hundredths(proto: envoy.type.v3.Percent | undefined): number {
  return Math.round(percent(proto, 100) * 100)
}

function names(
  proto: HcmTracing | RouteTracing,
  at: FieldPath,
  warnings: string[],
): Pick<TracingLevelConfig, 'customTags' | 'operation' | 'upstreamOperation'> {
  const operation = proto.operation ?? ''
  const upstreamOperation = proto.upstream_operation ?? ''
  checkFormat(operation, at.field('operation'))
  checkFormat(upstreamOperation, at.field('upstream_operation'))
  return {
    customTags: parseCustomTags(proto.custom_tags, at.field('custom_tags'), warnings),
    operation,
    upstreamOperation,
  }
}

/** Of two tags with one name the first counts, as in Envoy. */
export function parseCustomTags(
  protos: readonly CustomTag[] | undefined,
  at: FieldPath,
  warnings: string[],
): CustomTagConfig[] {
  const tags = new Map<string, CustomTagConfig>()
  for (const [i, proto] of (protos ?? []).entries()) {
    const tag = parseCustomTag(proto, at.index(i), warnings)
    if (!tags.has(tag.tag)) tags.set(tag.tag, tag)
  }
  return [...tags.values()]
}

const TYPES: Readonly<Record<string, TagType>> = { INT: 'int', DOUBLE: 'double', BOOL: 'bool' }

/** One of envoy.type.tracing.v3.CustomTag. */
export function parseCustomTag(proto: CustomTag, at: FieldPath, warnings: string[]): CustomTagConfig {
  TAG_SUPPORT.check(proto, at, warnings)
  const tag = proto.tag ?? ''
  const { literal, environment, request_header: header, metadata } = proto
  if (literal !== undefined) return { tag, kind: 'literal', value: literal.value ?? '' }
  if (environment !== undefined) {
    return { tag, kind: 'environment', name: environment.name ?? '', defaultValue: environment.default_value ?? '' }
  }
  if (header !== undefined) {
    const name = (header.name ?? '').toLowerCase()
    return { tag, kind: 'requestHeader', name, defaultValue: header.default_value ?? '' }
  }
  if (metadata !== undefined) {
    const kind = metadata.kind ?? {}
    const source = (['request', 'route', 'cluster', 'host'] as const).find(name => kind[name] !== undefined)
    if (source === undefined) {
      // The real one takes it and calls it a bug of its own at every request.
      throw new ConfigError('CONFIG_INVALID', at.field('metadata').field('kind'), 'a kind of metadata is required')
    }
    return {
      tag,
      kind: 'metadata',
      source,
      key: metadata.metadata_key?.key ?? '',
      path: (metadata.metadata_key?.path ?? []).map(step => step.key ?? ''),
      defaultValue: metadata.default_value ?? '',
    }
  }
  const text = proto.value ?? ''
  checkFormat(text, at.field('value'))
  return { tag, kind: 'format', text, type: TYPES[proto.value_type ?? ''] ?? 'string' }
}

import { ConfigError } from '../../../base/errors.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { parseFraction } from '../../../config/matcher.ts'
import { typeNameOf } from '../../../config/registry.ts'
import { defineSupport } from '../../../config/support.ts'

type Extension = envoy.config.core.v3.TypedExtensionConfig
type Ratio = envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig
type ParentBased = envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig

/** Which of the requests that the connection manager wants traced are recorded. */
export type SamplerConfig =
  | { readonly kind: 'always' }
  | { readonly kind: 'ratio'; readonly numerator: number; readonly denominator: number }
  | { readonly kind: 'parent'; readonly root: SamplerConfig }

const PACKAGE = 'envoy.extensions.tracers.opentelemetry.samplers.v3.'

const ALWAYS = defineSupport(`${PACKAGE}AlwaysOnSamplerConfig`, {})
const RATIO = defineSupport<Ratio>(`${PACKAGE}TraceIdRatioBasedSamplerConfig`, { sampling_percentage: 'yes' })
const PARENT = defineSupport<ParentBased>(`${PACKAGE}ParentBasedSamplerConfig`, { wrapped_sampler: 'yes' })

export function parseSampler(proto: Extension, at: FieldPath, warnings: string[]): SamplerConfig {
  const message = proto.typed_config?.message ?? {}
  const place = at.field('typed_config')
  switch (typeNameOf(proto.typed_config)) {
    case ALWAYS.typeName:
      return { kind: 'always' }
    case RATIO.typeName: {
      RATIO.check(message, place, warnings)
      const { numerator, denominator } = parseFraction((message as Ratio).sampling_percentage)
      return { kind: 'ratio', numerator, denominator }
    }
    case PARENT.typeName:
      PARENT.check(message, place, warnings)
      return {
        kind: 'parent',
        root: parseSampler((message as ParentBased).wrapped_sampler ?? {}, place.field('wrapped_sampler'), warnings),
      }
    default:
      throw new ConfigError('CONFIG_UNREGISTERED', at, `Sampler factory not found: '${proto.name ?? ''}'`, {
        advice: 'there are always_on, trace_id_ratio_based and parent_based',
      })
  }
}

/** `parent`: what the parent's context says; null = there is none. */
export function samples(config: SamplerConfig, traceId: string, parent: boolean | null): boolean {
  switch (config.kind) {
    case 'always':
      return true
    case 'ratio':
      // The same for all hops: the first eight bytes of the trace id, read as the real one does on a little-endian machine.
      return remainder(traceId, config.denominator) < config.numerator
    case 'parent':
      return parent ?? samples(config.root, traceId, null)
  }
}

/** The id's first eight bytes, least significant first, modulo `n`: digit by digit, so that no BigInt is made. */
function remainder(traceId: string, n: number): number {
  let rest = 0
  for (let i = 14; i >= 0; i -= 2) rest = (rest * 256 + Number.parseInt(traceId.slice(i, i + 2), 16)) % n
  return rest
}

import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { typeNameOf } from '../config/registry.ts'
import { defineSupport } from '../config/support.ts'

type Static = envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig

const PACKAGE = 'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.'

const ENVIRONMENT = defineSupport(`${PACKAGE}EnvironmentResourceDetectorConfig`, {})
const STATIC = defineSupport<Static>(`${PACKAGE}StaticConfigResourceDetectorConfig`, { attributes: 'yes' })

/**
 * resource_detectors of tracers and access loggers: puts what they find into `found`. A detector replaces what those before it found
 * (OpenTelemetry resource SDK, "Merge").
 */
export function detectResource(
  found: Map<string, string>,
  detectors: readonly envoy.config.core.v3.TypedExtensionConfig[] | undefined,
  at: FieldPath,
  warnings: string[],
): void {
  for (const [i, detector] of (detectors ?? []).entries()) {
    const place = at.index(i)
    const message = detector.typed_config?.message ?? {}
    switch (typeNameOf(detector.typed_config)) {
      case ENVIRONMENT.typeName:
        fromEnvironment(found, place, warnings)
        break
      case STATIC.typeName:
        STATIC.check(message, place.field('typed_config'), warnings)
        for (const [name, value] of Object.entries((message as Static).attributes ?? {})) found.set(name, value)
        break
      default: {
        const text = `Resource detector factory not found: '${detector.name ?? ''}'`
        throw new ConfigError('CONFIG_UNREGISTERED', place, text, { advice: 'there are environment and static_config' })
      }
    }
  }
}

/** `OTEL_RESOURCE_ATTRIBUTES=a=b,c=d` (OpenTelemetry environment variable specification). */
function fromEnvironment(found: Map<string, string>, at: FieldPath, warnings: string[]): void {
  for (const pair of (process.env.OTEL_RESOURCE_ATTRIBUTES ?? '').split(',')) {
    if (pair === '') continue
    const [name, value, more] = pair.split('=')
    if (name === '' || value === undefined || value === '' || more !== undefined) {
      warnings.push(`${at}: Invalid resource format from the environment, invalid text: ${pair}.`)
    } else found.set(name!, value)
  }
}

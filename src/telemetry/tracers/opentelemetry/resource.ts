import { ConfigError } from '../../../base/errors.ts'
import { VERSION_TEXT } from '../../../base/version.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { latin1 } from '../../../config/matcher.ts'
import { typeNameOf } from '../../../config/registry.ts'
import { defineSupport } from '../../../config/support.ts'

type Proto = envoy.config.trace.v3.OpenTelemetryConfig
type Static = envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig

const PACKAGE = 'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.'

const ENVIRONMENT = defineSupport(`${PACKAGE}EnvironmentResourceDetectorConfig`, {})
const STATIC = defineSupport<Static>(`${PACKAGE}StaticConfigResourceDetectorConfig`, { attributes: 'yes' })

/**
 * What the spans of this process have in common: name, value, name, value, … in latin1. A detector replaces what those before it
 * found (OpenTelemetry resource SDK, "Merge").
 */
export function detectResource(proto: Proto, at: FieldPath, warnings: string[]): string[] {
  const found = new Map<string, string>()
  if (proto.set_service_name_resource_attribute ?? true) {
    found.set('service.name', proto.service_name || 'unknown_service:envoy')
  }
  if (proto.set_telemetry_sdk_resource_attributes ?? true) {
    found.set('telemetry.sdk.language', 'nodejs')
    found.set('telemetry.sdk.name', 'envoy')
    found.set('telemetry.sdk.version', VERSION_TEXT)
  }
  for (const [i, detector] of (proto.resource_detectors ?? []).entries()) {
    const place = at.field('resource_detectors').index(i)
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
  return [...found].flat().map(latin1)
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

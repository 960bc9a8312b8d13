import { VERSION_TEXT } from '../../../base/version.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { latin1 } from '../../../config/matcher.ts'
import { detectResource } from '../../resource-detectors.ts'

type Proto = envoy.config.trace.v3.OpenTelemetryConfig

/** What the spans of this process have in common: name, value, name, value, … in latin1. */
export function spanResource(proto: Proto, at: FieldPath, warnings: string[]): string[] {
  const found = new Map<string, string>()
  if (proto.set_service_name_resource_attribute ?? true) {
    found.set('service.name', proto.service_name || 'unknown_service:envoy')
  }
  if (proto.set_telemetry_sdk_resource_attributes ?? true) {
    found.set('telemetry.sdk.language', 'nodejs')
    found.set('telemetry.sdk.name', 'envoy')
    found.set('telemetry.sdk.version', VERSION_TEXT)
  }
  detectResource(found, proto.resource_detectors, at.field('resource_detectors'), warnings)
  return [...found].flat().map(latin1)
}

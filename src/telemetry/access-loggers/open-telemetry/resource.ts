import type { NodeInfo } from '../../../config/services.ts'
import { WireWriter } from '../../../config/wire-writer.ts'
import type { OpenTelemetryConfig } from './config.ts'
import { encodeKeyValue } from './key-value.ts'

/**
 * opentelemetry.proto.resource.v1.Resource of the logger: the labels that Envoy adds itself, then resource_attributes, where the same
 * key takes the place of the earlier one (initOtlpMessageRoot).
 */
export function encodeResource(config: OpenTelemetryConfig, node: NodeInfo): Uint8Array {
  const entries = new Map<string, Uint8Array>()
  if (config.builtinLabels) {
    const labels = { log_name: config.logName, zone_name: node.zone, cluster_name: node.cluster, node_name: node.id }
    for (const [key, value] of Object.entries(labels))
      entries.set(key, encodeKeyValue({ key, value: { string_value: value } }))
  }
  for (const { key, entry } of config.resource) entries.set(key, entry)
  const w = new WireWriter()
  for (const entry of entries.values()) {
    w.tag(1, 2)
    w.bytes(entry)
  }
  return w.finish()
}

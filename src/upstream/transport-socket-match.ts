import type { ClusterConfig, TransportSocketConfig } from './cluster-config.ts'

const METADATA = 'envoy.transport_socket_match'

export interface MatchedSocket {
  /** `default` or the name of the match, as in the stat `<name>.total_match_count`. */
  readonly name: string
  readonly socket: TransportSocketConfig
}

/**
 * The transport socket of an endpoint: the first match whose every key equals the endpoint's metadata
 * `envoy.transport_socket_match`, else the cluster's own. `criteria` replaces the metadata (health checks).
 */
export function matchTransportSocket(
  config: ClusterConfig,
  metadata: Readonly<Record<string, unknown>> | null,
  criteria: Readonly<Record<string, unknown>> | null = null,
): MatchedSocket {
  const labels = criteria ?? (metadata?.[METADATA] as Readonly<Record<string, unknown>> | undefined) ?? {}
  for (const m of config.transportSocketMatches) {
    if (containsAll(labels, m.match)) return { name: m.name, socket: m.transportSocket }
  }
  return { name: 'default', socket: config.transportSocket }
}

/** Every key of `wanted` is in `labels` with an equal value. */
export function containsAll(
  labels: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): boolean {
  for (const key of Object.keys(wanted)) {
    if (!Object.hasOwn(labels, key) || !isEqual(labels[key], wanted[key])) return false
  }
  return true
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const x = a as Record<string, unknown>
  const y = b as Record<string, unknown>
  const keys = Object.keys(x)
  return keys.length === Object.keys(y).length && keys.every(k => Object.hasOwn(y, k) && isEqual(x[k], y[k]))
}

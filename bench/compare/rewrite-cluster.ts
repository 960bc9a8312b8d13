import { endpointsName } from './config-source.ts'
import {
  field,
  isTyped,
  type JsonObject,
  listField,
  objectField,
  objectsWithin,
  removeField,
  setField,
} from './json.ts'
import type { Notes } from './notes.ts'
import { loopback, type Sites } from './places.ts'

/** What rewriting knows of the clusters of a configuration. */
export interface ClusterFacts {
  /** Clusters that lead to the control plane. */
  readonly controlPlane: ReadonlySet<string>
  /** Assignments whose endpoints were moved. */
  readonly rerouted: ReadonlySet<string>
}

export function protocolOf(cluster: JsonObject): 'http1' | 'http2' {
  for (const value of objectsWithin(cluster)) if (field(value, 'http2_protocol_options') !== undefined) return 'http2'
  return 'http1'
}

/** Moves every endpoint of a ClusterLoadAssignment; true when one moved. */
export function rewriteAssignment(
  assignment: JsonObject,
  cluster: string,
  protocol: 'http1' | 'http2',
  sites: Sites,
  notes: Notes,
): boolean {
  let index = 0
  return moveEndpoints(assignment, cluster, notes, () => sites.endpoint(cluster, index++, protocol))
}

/** A cluster whose endpoints are moved, in itself or by discovery, loses what needs the real ones. */
export function rewriteCluster(cluster: JsonObject, facts: ClusterFacts, sites: Sites, notes: Notes): void {
  const name = String(field(cluster, 'name') ?? '')
  const type = String(field(cluster, 'type') ?? 'STATIC')
  const assignment = objectField(cluster, 'load_assignment')
  if (facts.controlPlane.has(name)) {
    moveEndpoints(assignment ?? {}, name, notes, () => sites.controlPlane)
    for (const part of ['transport_socket', 'transport_socket_matches', 'upstream_bind_config'])
      removeField(cluster, part)
    notes.about('cluster', name, 'the control plane of this comparison instead of the endpoints')
    return
  }
  const protocol = protocolOf(cluster)
  if (assignment !== undefined) {
    if (!rewriteAssignment(assignment, name, protocol, sites, notes)) return
  } else if (type === 'ORIGINAL_DST') {
    if (!standIn(cluster, name, sites.endpoint(name, 0, protocol))) return
    notes.about('cluster', name, 'a recorder instead of the original destination')
  } else if (type === 'EDS') {
    if (!facts.rerouted.has(endpointsName(cluster))) return
  } else {
    const kind = objectField(cluster, 'cluster_type') === undefined ? type : 'custom type'
    notes.about('cluster', name, `no endpoints in the file (${kind}): left as it is`)
    return
  }
  // A recorder has no certificate that the cluster would trust, and is on this machine anyway.
  const tls = removeField(cluster, 'transport_socket')
  const matches = removeField(cluster, 'transport_socket_matches')
  if (tls || matches) notes.about('cluster', name, 'no TLS towards the recorder')
  if (removeField(cluster, 'upstream_bind_config')) notes.about('cluster', name, 'upstream_bind_config is left out')
  for (const value of objectsWithin(cluster)) {
    // It chooses by ALPN, and there is no TLS now.
    if (isTyped(value, 'HttpProtocolOptions') && removeField(value, 'auto_config')) {
      setField(value, 'explicit_http_config', { http_protocol_options: {} })
      notes.about('cluster', name, 'HTTP/1.1 instead of what ALPN would choose')
    }
  }
}

function moveEndpoints(assignment: JsonObject, cluster: string, notes: Notes, next: () => number | null): boolean {
  let moved = false
  for (const locality of listField(assignment, 'endpoints')) {
    for (const host of listField(locality, 'lb_endpoints')) {
      const endpoint = objectField(host, 'endpoint')
      const port = endpoint === undefined ? null : next()
      if (endpoint === undefined || port === null) continue
      setField(endpoint, 'address', loopback(port))
      removeField(endpoint, 'additional_addresses')
      const check = objectField(endpoint, 'health_check_config')
      if (check !== undefined && removeField(check, 'port_value'))
        notes.about('cluster', cluster, 'health checks go to the recorder')
      moved = true
    }
  }
  return moved
}

/** Connections that nobody redirected have no original destination but the listener itself. */
function standIn(cluster: JsonObject, name: string, port: number | null): boolean {
  if (port === null) return false
  setField(cluster, 'type', 'STATIC')
  setField(cluster, 'load_assignment', {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }],
  })
  removeField(cluster, 'original_dst_lb_config')
  if (field(cluster, 'lb_policy') === 'CLUSTER_PROVIDED') removeField(cluster, 'lb_policy')
  return true
}

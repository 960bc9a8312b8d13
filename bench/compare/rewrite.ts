import { parse } from 'yaml'
import {
  field,
  isObject,
  isTyped,
  type JsonObject,
  listField,
  objectField,
  objectsWithin,
  removeField,
  setField,
} from './json.ts'
import { CompareError } from './options.ts'

/** Where everything of one proxy is. */
export interface Places {
  /** A free port for this purpose; the same purpose is asked for once only. */
  port(purpose: string): number
  /** Where the endpoint of a cluster goes; null leaves it where it is. */
  endpoint(cluster: string, protocol: 'http1' | 'http2'): number | null
  /** Access log that is compared. */
  readonly log: string
  /** For the access logs of the configuration itself. */
  readonly folder: string
}

export interface RewrittenListener {
  readonly name: string
  /** As configured. */
  readonly originalPort: number
  readonly port: number
  /** The first filter chain speaks TLS. */
  readonly tls: boolean
}

export interface Rewritten {
  /** JSON, which every Envoy reads. */
  readonly text: string
  readonly listeners: readonly RewrittenListener[]
  readonly admin: number
  /** What is not as the file says, for the reader. */
  readonly notes: readonly string[]
}

/** Fields of the access log that compare adds, by name. */
export const LOG_FIELDS: readonly (readonly [name: string, operator: string])[] = [
  ['code', '%RESPONSE_CODE%'],
  ['flags', '%RESPONSE_FLAGS%'],
  ['details', '%RESPONSE_CODE_DETAILS%'],
  ['termination', '%CONNECTION_TERMINATION_DETAILS%'],
  ['transport failure', '%UPSTREAM_TRANSPORT_FAILURE_REASON%'],
  ['route', '%ROUTE_NAME%'],
  ['cluster', '%UPSTREAM_CLUSTER%'],
  ['attempts', '%UPSTREAM_REQUEST_ATTEMPT_COUNT%'],
  ['received', '%BYTES_RECEIVED%'],
  ['sent', '%BYTES_SENT%'],
  ['protocol', '%PROTOCOL%'],
  ['grpc', '%GRPC_STATUS%'],
]

/** Throws CompareError when the text is no bootstrap that can be run twice on one machine. */
export function readConfig(text: string, name: string): JsonObject {
  let root: unknown
  try {
    root = parse(text, { version: '1.1', merge: true })
  } catch (error) {
    throw new CompareError(`${name}: ${(error as Error).message}`)
  }
  if (!isObject(root)) throw new CompareError(`${name}: no configuration in it`)
  const dynamic = objectField(root, 'dynamic_resources')
  if (dynamic !== undefined && Object.keys(dynamic).length > 0) {
    throw new CompareError(
      `${name}: dynamic_resources: ports and endpoints that come by xDS cannot be replaced. Put the resources into static_resources (a config_dump has them)`,
    )
  }
  if (listField(objectField(root, 'static_resources'), 'listeners').length === 0) {
    throw new CompareError(`${name}: no static_resources.listeners: nothing to send requests to`)
  }
  return root
}

/** The configuration with ports, endpoints and log files of its own, and one more access log. `root` stays as it is. */
export function rewrite(root: JsonObject, places: Places): Rewritten {
  const copy = structuredClone(root)
  const notes: string[] = []
  const admin = places.port('admin')
  const adminBlock = objectField(copy, 'admin') ?? {}
  setField(copy, 'admin', adminBlock)
  setField(adminBlock, 'address', loopback(admin))
  // Before the one that compare adds.
  let logs = 0
  for (const value of objectsWithin(copy)) {
    if (isTyped(value, 'FileAccessLog')) setField(value, 'path', `${places.folder}/access-${logs++}.log`)
  }
  const resources = objectField(copy, 'static_resources')
  const listeners = listField(resources, 'listeners').flatMap((listener, i) =>
    rewriteListener(listener, i, places, notes),
  )
  for (const cluster of listField(resources, 'clusters')) rewriteCluster(cluster, places, notes)
  return { text: `${JSON.stringify(copy, null, 1)}\n`, listeners, admin, notes: [...new Set(notes)] }
}

function rewriteListener(listener: JsonObject, index: number, places: Places, notes: string[]): RewrittenListener[] {
  const name = String(field(listener, 'name') ?? `listener ${index + 1}`)
  const address = objectField(listener, 'address')
  const socket = objectField(address, 'socket_address')
  const originalPort = Number(field(socket, 'port_value') ?? 0)
  const chains = [...listField(listener, 'filter_chains'), objectField(listener, 'default_filter_chain')]
  for (const chain of chains) for (const filter of listField(chain, 'filters')) addLog(filter, places.log)
  if (field(listener, 'bind_to_port') === false || objectField(listener, 'api_listener') !== undefined) {
    notes.push(`listener ${name} has no port of its own and gets no requests`)
    return []
  }
  if (String(field(socket, 'protocol') ?? 'TCP').toUpperCase() === 'UDP') {
    notes.push(`listener ${name} is UDP and gets no requests`)
    setField(listener, 'address', {
      socket_address: { ...socket, address: '127.0.0.1', port_value: places.port(name) },
    })
    return []
  }
  if (removeField(listener, 'additional_addresses')) notes.push(`listener ${name}: only its first address is used`)
  if (socket === undefined) notes.push(`listener ${name}: its socket file is replaced by a port`)
  const port = places.port(`listener ${name}`)
  setField(listener, 'address', loopback(port))
  const tls = objectField(chains[0], 'transport_socket') !== undefined
  return [{ name, originalPort, port, tls }]
}

/** Both kinds of connection managers (the second is Istio's name in old configurations) are the same message. */
function addLog(filter: JsonObject, path: string): void {
  const config = objectField(filter, 'typed_config')
  if (config === undefined || !isTyped(config, 'HttpConnectionManager')) return
  const format = `${LOG_FIELDS.map(([, operator]) => operator).join('\t')}\n`
  setField(config, 'access_log', [
    ...listField(config, 'access_log'),
    {
      name: 'remora.compare',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
        path,
        log_format: { text_format_source: { inline_string: format } },
      },
    },
  ])
}

function rewriteCluster(cluster: JsonObject, places: Places, notes: string[]): void {
  const name = String(field(cluster, 'name') ?? '')
  const type = String(field(cluster, 'type') ?? 'STATIC')
  const assignment = objectField(cluster, 'load_assignment')
  if (assignment === undefined) {
    notes.push(
      `cluster ${name} (${objectField(cluster, 'cluster_type') === undefined ? type : 'custom type'}) has no endpoints in the file and was left as it is`,
    )
    return
  }
  const protocol = JSON.stringify(cluster).includes('http2_protocol_options') ? 'http2' : 'http1'
  let rerouted = false
  for (const locality of listField(assignment, 'endpoints')) {
    for (const host of listField(locality, 'lb_endpoints')) {
      const endpoint = objectField(host, 'endpoint')
      const port = endpoint === undefined ? null : places.endpoint(name, protocol)
      if (endpoint === undefined || port === null) continue
      setField(endpoint, 'address', loopback(port))
      removeField(endpoint, 'additional_addresses')
      const check = objectField(endpoint, 'health_check_config')
      if (check !== undefined && removeField(check, 'port_value'))
        notes.push(`cluster ${name}: health checks go to the recorder`)
      rerouted = true
    }
  }
  if (!rerouted) return
  // A recorder has no certificate that the cluster would trust, and is on this machine anyway.
  const tls = removeField(cluster, 'transport_socket')
  const matches = removeField(cluster, 'transport_socket_matches')
  if (tls || matches) notes.push(`cluster ${name}: no TLS towards the recorder`)
  if (removeField(cluster, 'upstream_bind_config')) notes.push(`cluster ${name}: upstream_bind_config is left out`)
  for (const value of objectsWithin(cluster)) {
    // It chooses by ALPN, and there is no TLS now.
    if (isTyped(value, 'HttpProtocolOptions') && removeField(value, 'auto_config')) {
      setField(value, 'explicit_http_config', { http_protocol_options: {} })
      notes.push(`cluster ${name}: HTTP/1.1 instead of what ALPN would choose`)
    }
  }
}

function loopback(port: number): JsonObject {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

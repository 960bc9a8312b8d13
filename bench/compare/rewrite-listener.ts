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

/** A place that takes requests. */
export interface RewrittenListener {
  readonly name: string
  /** As configured: an IP address, or '' for a socket file. */
  readonly originalAddress: string
  readonly originalPort: number
  readonly port: number
  /** For which `port` was asked for. */
  readonly purpose: string
  /** A filter chain speaks TLS. */
  readonly tls: boolean
  /** A filter chain does not. */
  readonly plain: boolean
  /** codec_type of the first connection manager; null where there is none. */
  readonly codec: 'AUTO' | 'HTTP1' | 'HTTP2' | 'HTTP3' | null
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

/** Moves a listener to a port of its own, and each destination port that it has filter chains for. */
export function rewriteListener(
  listener: JsonObject,
  index: number,
  sites: Sites,
  notes: Notes,
): readonly RewrittenListener[] {
  const name = String(field(listener, 'name') ?? `listener ${index + 1}`)
  const socket = objectField(objectField(listener, 'address'), 'socket_address')
  const chains = listField(listener, 'filter_chains')
  const otherwise = objectField(listener, 'default_filter_chain')
  const all = otherwise === undefined ? chains : [...chains, otherwise]
  for (const chain of all) for (const filter of listField(chain, 'filters')) addLog(filter, sites.log)
  if (objectField(listener, 'internal_listener') !== undefined || objectField(listener, 'api_listener') !== undefined) {
    notes.about('listener', name, 'no port of its own, no requests')
    return []
  }
  if (String(field(socket, 'protocol') ?? 'TCP').toUpperCase() === 'UDP') {
    notes.about('listener', name, 'UDP, no requests')
    setField(listener, 'address', {
      socket_address: { ...socket, address: '127.0.0.1', port_value: sites.port(name) },
    })
    return []
  }
  if (removeField(listener, 'additional_addresses')) notes.about('listener', name, 'only the first address is used')
  if (socket === undefined) notes.about('listener', name, 'a port instead of the socket file')
  if (field(listener, 'bind_to_port') === false) {
    removeField(listener, 'bind_to_port')
    notes.about('listener', name, 'bound to a port, as no connection is redirected here')
  }
  for (const option of ['transparent', 'freebind'])
    if (removeField(listener, option)) notes.about('listener', name, `${option} is left out`)
  const purpose = `listener ${name}`
  const port = sites.port(purpose)
  setField(listener, 'address', loopback(port))
  const place = (originalPort: number, purpose: string, own: readonly JsonObject[]): RewrittenListener => ({
    name,
    originalAddress: String(field(socket, 'address') ?? ''),
    originalPort,
    port: sites.port(purpose),
    purpose,
    tls: own.some(chain => objectField(chain, 'transport_socket') !== undefined),
    plain: own.some(chain => objectField(chain, 'transport_socket') === undefined),
    codec: codecOf(own),
  })
  const rest = all.filter(chain => destinationPort(chain) === null)
  return [
    place(Number(field(socket, 'port_value') ?? 0), purpose, rest.length > 0 ? rest : all),
    ...destinations(listener, name, chains, sites, notes).map(([original, own, purpose]) =>
      place(original, purpose, own),
    ),
  ]
}

/** No redirection tells where a connection was to go; its own address does, so each destination gets one. */
function destinations(listener: JsonObject, name: string, chains: readonly JsonObject[], sites: Sites, notes: Notes) {
  const byPort = new Map<number, JsonObject[]>()
  for (const chain of chains) {
    const port = destinationPort(chain)
    if (port !== null) byPort.set(port, [...(byPort.get(port) ?? []), chain])
  }
  const moved = [...byPort].map(([original, own]) => {
    const purpose = `listener ${name} for ${original}`
    for (const chain of own)
      setField(objectField(chain, 'filter_chain_match')!, 'destination_port', sites.port(purpose))
    return [original, own, purpose] as const
  })
  if (moved.length > 0) {
    setField(
      listener,
      'additional_addresses',
      moved.map(([, , purpose]) => ({ address: loopback(sites.port(purpose)) })),
    )
    notes.about(
      'listener',
      name,
      `filter chains for destination ports ${[...byPort.keys()].join(', ')} have ports of their own`,
    )
  }
  return moved
}

function destinationPort(chain: JsonObject): number | null {
  const port = field(objectField(chain, 'filter_chain_match'), 'destination_port')
  return port === undefined || port === null ? null : Number(port)
}

function codecOf(chains: readonly JsonObject[]): RewrittenListener['codec'] {
  for (const filter of chains.flatMap(chain => listField(chain, 'filters'))) {
    const config = objectField(filter, 'typed_config')
    if (config === undefined || !isTyped(config, 'HttpConnectionManager')) continue
    const type = String(field(config, 'codec_type') ?? 'AUTO').toUpperCase()
    return type === 'HTTP1' || type === 'HTTP2' || type === 'HTTP3' ? type : 'AUTO'
  }
  return null
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

/**
 * Logs of the configuration itself; before the one that compare adds. One file stays one file: a later push that changes nothing about
 * a log must not change its listener.
 */
export function moveLogs(within: unknown, folder: string): void {
  const moved = new Map<string, string>()
  for (const value of objectsWithin(within)) {
    if (!isTyped(value, 'FileAccessLog')) continue
    const original = String(field(value, 'path') ?? '')
    const path = moved.get(original) ?? `${folder}/access-${moved.size}.log`
    moved.set(original, path)
    setField(value, 'path', path)
  }
}

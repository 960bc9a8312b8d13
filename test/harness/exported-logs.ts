import { decodeMessage } from '../../src/config/binary.ts'
import type { UpstreamRecord } from './behaviour.ts'

/** What access loggers send, by path or content type of the request. */
const TYPES: readonly (readonly [string, string])[] = [
  [
    ':path: /opentelemetry.proto.collector.logs.v1.LogsService/Export',
    'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest',
  ],
  ['content-type: application/x-protobuf', 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'],
  [
    ':path: /envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
    'envoy.service.accesslog.v3.StreamAccessLogsMessage',
  ],
]

/**
 * The messages in the body of a request that an access logger made, as JSON with sorted keys; times and durations as
 * `{time}` and `{ms}`. Null: it is no such request.
 */
export function exportedLogs(record: UpstreamRecord): object[] | null {
  const type = TYPES.find(([line]) => record.head.some(head => head.toLowerCase() === line.toLowerCase()))?.[1]
  if (type === undefined) return null
  const messages = type.endsWith('ExportLogsServiceRequest') && !isGrpc(record) ? [record.body] : frames(record.body)
  return merged(messages.map(bytes => plain(decodeMessage(type, bytes).message, '') as Message))
}

type Message = Record<string, { log_entry?: object[] }>

/** Entries that follow in a stream belong together, whenever its timer fired. */
function merged(messages: readonly Message[]): Message[] {
  const all: Message[] = []
  for (const message of messages) {
    const last = all.at(-1)
    const [kind, ...more] = Object.keys(message)
    const entries = more.length === 0 && kind !== undefined ? message[kind]!.log_entry : undefined
    const known = last === undefined ? undefined : last[kind!]?.log_entry
    if (entries !== undefined && known !== undefined) known.push(...entries)
    else all.push(message)
  }
  return all
}

export function isGrpc(record: UpstreamRecord): boolean {
  return record.head.some(line => /^content-type: application\/grpc/i.test(line))
}

export function frames(body: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at + 5 <= body.length; ) {
    const length = body.readUInt32BE(at + 1)
    // The rest of it has not come yet.
    if (at + 5 + length > body.length) break
    found.push(body.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return found
}

export function plain(value: unknown, key: string): unknown {
  if (/^(time_unix_nano|start_time)$/.test(key)) return '{time}'
  if (/^(time_to_\w+|duration)$/.test(key)) return '{ms}'
  if (key === 'trace_id' || key === 'span_id') return `{${(value as Uint8Array).length} bytes}`
  // Every proxy has its own.
  if (key === 'extensions') return '{extensions}'
  if (key === 'socket_address') {
    const { address, port_value: port } = value as { address: string; port_value: number }
    return `${address}:${port}`
  }
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(item => plain(item, ''))
  if (typeof value !== 'object' || value === null) return value
  // Maps are sent in any order.
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  const out = Object.fromEntries(entries.map(([name, inner]) => [name, plain(inner, name)]))
  return out['protocol_version'] === 'HTTP2' ? withoutWireBytes(out) : out
}

/** How many bytes HPACK makes of a head is the encoder's choice. */
function withoutWireBytes(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value)
  return Object.fromEntries(
    entries.map(([k, inner]) => [k, /_bytes_(sent|received)$/.test(k) ? '{bytes}' : withoutWireBytes(inner)]),
  )
}

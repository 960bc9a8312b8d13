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
 * The messages in the body of a request that an access logger made, as JSON in the order of the fields; times and durations as
 * `{time}` and `{ms}`. Null: it is no such request.
 */
export function exportedLogs(record: UpstreamRecord): object[] | null {
  const type = TYPES.find(([line]) => record.head.some(head => head.toLowerCase() === line.toLowerCase()))?.[1]
  if (type === undefined) return null
  const messages = type.endsWith('ExportLogsServiceRequest') && !isGrpc(record) ? [record.body] : frames(record.body)
  return messages.map(bytes => plain(decodeMessage(type, bytes).message, '') as object)
}

function isGrpc(record: UpstreamRecord): boolean {
  return record.head.some(line => /^content-type: application\/grpc/i.test(line))
}

function frames(body: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at + 5 <= body.length; ) {
    const length = body.readUInt32BE(at + 1)
    found.push(body.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return found
}

function plain(value: unknown, key: string): unknown {
  if (/^(time_unix_nano|start_time)$/.test(key)) return '{time}'
  if (/^(time_to_\w+|duration)$/.test(key)) return '{ms}'
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(item => plain(item, ''))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner, name)]))
}

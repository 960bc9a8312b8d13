import { createHash } from 'node:crypto'
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { ClientResult } from '../../bench/wire/http1-client.ts'
import { headerValue, type Message } from '../../bench/wire/http1-message.ts'
import type { UpstreamRecord } from '../harness/behaviour.ts'
import { exportedLogs } from '../harness/exported-logs.ts'
import { exportedMetrics } from '../harness/exported-metrics.ts'
import { exportedSpans } from '../harness/exported-spans.ts'
import type { H2Result } from '../harness/h2-client.ts'

/** What is recorded and compared: plain JSON, readable in a diff. Bytes are latin1 text. */
export interface ScenarioObservation {
  readonly steps: readonly unknown[]
  readonly upstream: readonly UpstreamSeen[]
  readonly log: readonly string[]
  readonly stats: Readonly<Record<string, number | string>>
}

export interface UpstreamSeen {
  readonly upstream: string
  readonly head: readonly string[]
  readonly framing: string
  /** Messages of access loggers as JSON: protobuf would not be readable in a diff, and holds times. */
  readonly body: string | readonly object[]
  readonly trailers: readonly string[]
  readonly end: string
}

/** Bodies longer than this are recorded by length and hash. */
const LONGEST_BODY = 2048

export function describeHttp1(result: ClientResult): object {
  return {
    responses: result.messages.map(message => ({
      status: message.startLine,
      headers: message.headers.map(shortHeader),
      framing: message.framing,
      body: decodedText(message),
      ...(message.trailers.length > 0 ? { trailers: message.trailers } : {}),
      ...(message.complete ? {} : { complete: false }),
    })),
    ...(result.tail.length > 0 ? { tail: bodyText(result.tail) } : {}),
    ...(result.tls === null ? {} : { tls: result.tls }),
    connection: result.fate,
  }
}

export function describeTcp(result: ClientResult): object {
  return {
    received: bodyText(result.raw),
    ...(result.tls === null ? {} : { tls: result.tls }),
    connection: result.fate,
  }
}

export function describeH2(result: H2Result): object {
  const line = ([name, value]: readonly [string, string]) => shortHeader(`${name}: ${value}`)
  return {
    streams: result.streams.map(stream => ({
      ...(stream.informational.length > 0 ? { informational: stream.informational.map(block => block.map(line)) } : {}),
      headers: stream.headers.map(line),
      body: decoded(stream.headers.find(([name]) => name === 'content-encoding')?.[1] ?? '', stream.body),
      ...(stream.trailers.length > 0 ? { trailers: stream.trailers.map(line) } : {}),
      end: stream.end,
    })),
    ...(result.goaway === null ? {} : { goaway: result.goaway }),
    ...(result.tls === null ? {} : { tls: result.tls }),
    // FIN or RST: after a connection error that is a race with this client's own SETTINGS ACK.
    connection: result.fate === 'reset' ? 'closed' : result.fate,
  }
}

/** `metrics`: which of what stat sinks send is looked at; empty = all records are something else. */
export function describeUpstream(record: UpstreamRecord, metrics: readonly RegExp[] = []): UpstreamSeen {
  const exported = metrics.length === 0 ? null : exportedMetrics(record, metrics)
  return {
    upstream: record.upstream,
    head: record.head.map(shortHeader),
    framing: record.framing,
    body: exported ?? spansText(record) ?? exportedLogs(record) ?? decoded(encodingOf(record), record.body),
    trailers: record.trailers,
    end: record.end,
  }
}

function encodingOf(record: UpstreamRecord): string {
  return record.head.find(line => line.startsWith('content-encoding: '))?.slice(18) ?? ''
}

/** Protobuf would not be readable in a diff, and holds times. */
function spansText(record: UpstreamRecord): string | null {
  const messages = exportedSpans(record)
  return messages === null ? null : messages.map(message => JSON.stringify(message)).join('\n')
}

/** Two libraries compress to different bytes: what they mean is compared. */
const DECODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: gunzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
}

function decodedText(message: Message): string {
  const encoding = headerValue(message, 'content-encoding') ?? ''
  return message.complete ? decoded(encoding, message.body) : bodyText(message.body)
}

function decoded(encoding: string, body: Buffer): string {
  const decode = DECODERS[encoding]
  if (decode === undefined || body.length === 0) return bodyText(body)
  try {
    return `{${encoding}} ${bodyText(decode(body))}`
  } catch {
    return `{not ${encoding}} ${bodyText(body)}`
  }
}

export function bodyText(body: Buffer): string {
  if (body.length <= LONGEST_BODY) return body.toString('latin1')
  return `{${body.length} bytes, sha256 ${createHash('sha256').update(body).digest('hex').slice(0, 16)}}`
}

function shortHeader(line: string): string {
  return line.length <= LONGEST_BODY ? line : `${line.slice(0, 40)}…{${line.length} characters}`
}

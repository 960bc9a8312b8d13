import type { HeaderBlock } from '../../../codec/header-block.ts'
import type { WireWriter } from '../../../config/wire-writer.ts'
import type { FormatContext } from '../../format-context.ts'
import { textField } from './fields.ts'

const PROTOCOLS: Readonly<Record<string, number>> = { 'HTTP/1.0': 1, 'HTTP/1.1': 2, 'HTTP/2': 3, 'HTTP/3': 4 }
const METHODS: Readonly<Record<string, number>> = {
  GET: 1,
  HEAD: 2,
  POST: 3,
  PUT: 4,
  DELETE: 5,
  CONNECT: 6,
  OPTIONS: 7,
  TRACE: 8,
  PATCH: 9,
}

/** Which headers are wanted besides; names in lower case. */
export interface HeadersToLog {
  readonly request: readonly string[]
  readonly response: readonly string[]
  readonly trailers: readonly string[]
}

/** Protocol, request and response of envoy.data.accesslog.v3.HTTPAccessLogEntry (HttpGrpcAccessLog::emitLog). */
export function writeHttp(w: WireWriter, context: FormatContext, wanted: HeadersToLog): void {
  const { info, requestHeaders, responseHeaders, responseTrailers } = context
  w.uintField(2, PROTOCOLS[info.protocol] ?? 0)
  const request = w.tagged(3)
  if (requestHeaders !== null) writeRequestHead(w, requestHeaders)
  w.uintField(12, info.bytesReceived)
  if (requestHeaders !== null) writeHeaders(w, 13, requestHeaders, wanted.request)
  w.uintField(14, info.upstreamHeaderBytesSent)
  w.uintField(15, info.downstreamHeaderBytesReceived)
  w.close(request)
  const response = w.tagged(4)
  if (info.responseCode !== 0) {
    const code = w.tagged(1)
    w.uintField(1, info.responseCode)
    w.close(code)
  }
  if (responseHeaders !== null) w.uintField(2, responseHeaders.byteSize())
  w.uintField(3, info.bytesSent)
  if (responseHeaders !== null) writeHeaders(w, 4, responseHeaders, wanted.response)
  if (responseTrailers !== null) writeHeaders(w, 5, responseTrailers, wanted.trailers)
  textField(w, 6, info.responseCodeDetails)
  w.uintField(7, info.upstreamHeaderBytesReceived)
  w.uintField(8, info.downstreamHeaderBytesSent)
  w.close(response)
}

function writeRequestHead(w: WireWriter, h: HeaderBlock): void {
  w.uintField(1, METHODS[h.method] ?? 0)
  textField(w, 2, h.scheme)
  textField(w, 3, h.authority)
  textField(w, 5, h.path)
  textField(w, 6, h.get('user-agent') ?? '')
  textField(w, 7, h.get('referer') ?? '')
  textField(w, 8, h.get('x-forwarded-for') ?? '')
  textField(w, 9, h.get('x-request-id') ?? '')
  textField(w, 10, h.get('x-envoy-original-path') ?? '')
  w.uintField(11, h.byteSize())
}

function writeHeaders(w: WireWriter, field: number, h: HeaderBlock, names: readonly string[]): void {
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!
    const value = h.getAll(name)
    if (value === undefined) continue
    const entry = w.tagged(field)
    w.stringField(1, name)
    textField(w, 2, value)
    w.close(entry)
  }
}

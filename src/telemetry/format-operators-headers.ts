import { GRPC_STATUS_NAMES } from '../base/grpc-status.ts'
import { internalized } from '../base/internalized.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { headerArgs } from '../config/format-string.ts'
import { latin1 } from '../config/matcher.ts'
import type { FormatContext } from './format-context.ts'
import type { OperatorTable } from './format-operators.ts'
import type { FormatReader } from './formatter.ts'

type Block = 'requestHeaders' | 'responseHeaders' | 'responseTrailers'

/** First value of the main header, else of the alternative. An empty value is missing. */
function header(block: Block, args: string): FormatReader {
  const [main, alternative] = headerArgs(args).map(internalized) as [string, string]
  // Spelled out: V8 looks a computed member up in a table at each call.
  if (block === 'requestHeaders') {
    if (alternative === '') return c => first(c.requestHeaders, main)
    return c => first(c.requestHeaders, main) ?? first(c.requestHeaders, alternative)
  }
  if (block === 'responseHeaders') {
    if (alternative === '') return c => first(c.responseHeaders, main)
    return c => first(c.responseHeaders, main) ?? first(c.responseHeaders, alternative)
  }
  if (alternative === '') return c => first(c.responseTrailers, main)
  return c => first(c.responseTrailers, main) ?? first(c.responseTrailers, alternative)
}

function first(headers: HeaderBlock | null, name: string): string | null {
  return headers?.get(name) ?? null
}

function byteSize(block: Block): FormatReader {
  return c => c[block]?.byteSize() ?? 0
}

function path(args: string): FormatReader {
  const [query = '', source = ''] = args.split(':')
  const original: FormatReader = c => first(c.requestHeaders, 'x-envoy-original-path')
  const current: FormatReader = c => first(c.requestHeaders, ':path')
  const read: FormatReader = source === 'ORIG' ? original : source === 'PATH' ? current : c => original(c) ?? current(c)
  if (query !== 'NQ') return read
  return c => {
    const value = read(c)
    return typeof value === 'string' ? withoutQuery(value) : value
  }
}

function withoutQuery(value: string): string {
  const at = value.search(/[?#]/)
  return at < 0 ? value : value.slice(0, at)
}

function currentQuery(c: FormatContext): string | null {
  const value = first(c.requestHeaders, 'x-envoy-original-path') ?? first(c.requestHeaders, ':path')
  const at = value === null ? -1 : value.indexOf('?')
  if (value === null || at < 0) return null
  const end = value.indexOf('#', at)
  return end < 0 ? value.slice(at + 1) : value.slice(at + 1, end)
}

function queryParam(name: string): FormatReader {
  return c => {
    const query = currentQuery(c)
    if (query === null) return null
    for (const pair of query.split('&')) {
      const equal = pair.indexOf('=')
      const key = equal < 0 ? pair : pair.slice(0, equal)
      if (percentDecode(key) === latin1(name)) return equal < 0 ? '' : percentDecode(pair.slice(equal + 1))
    }
    return null
  }
}

/** Bytes of `%XX`; latin1 in and out. */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** HTTP status → gRPC status when an answer to a gRPC request carries none; 200 is Unknown (grpc http-grpc-status-mapping). */
const FROM_HTTP: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
}

/** %GRPC_STATUS%: only gRPC requests have one. */
export function grpcStatus(c: FormatContext): number | null {
  return c.requestHeaders === null || !isGrpc(c.requestHeaders) ? null : grpcStatusOf(c)
}

/** Grpc::Common::getGrpcStatus: trailers, then headers, then the HTTP status. -1 = not a number. */
export function grpcStatusOf(c: FormatContext): number | null {
  const text = first(c.responseTrailers, 'grpc-status') ?? first(c.responseHeaders, 'grpc-status')
  if (text !== null) return /^[0-9]{1,9}$/.test(text) ? Number(text) : -1
  return c.info.responseCode === 0 ? null : (FROM_HTTP[c.info.responseCode] ?? 2)
}

/** Grpc::Common::isGrpcRequestHeaders: content-type application/grpc, also with +… or ;…. */
export function isGrpc(headers: HeaderBlock): boolean {
  const type = headers.get('content-type')
  if (type === undefined || !type.startsWith('application/grpc')) return false
  return type.length === 16 || type.charCodeAt(16) === 43 /* + */
}

function grpcStatusText(format: string): FormatReader {
  if (format === 'NUMBER') return grpcStatus
  return c => {
    const status = grpcStatus(c)
    if (status === null) return null
    const name = GRPC_STATUS_NAMES[status]
    if (name === undefined) return status < 0 ? 'InvalidCode' : String(status)
    return format === 'SNAKE_STRING' ? snake(name) : name
  }
}

function snake(name: string): string {
  if (name === 'OK') return name
  if (name === 'Canceled') return 'CANCELLED'
  return name.replace(/(?!^)([A-Z])/g, '_$1').toUpperCase()
}

function withoutQueryOf(args: string): FormatReader {
  const read = header('requestHeaders', args)
  return c => {
    const value = read(c)
    return typeof value === 'string' ? withoutQuery(value) : value
  }
}

const XFCC_KEYS: Readonly<Record<string, string>> = {
  by: 'by',
  hash: 'hash',
  cert: 'cert',
  chain: 'chain',
  subject: 'subject',
  uri: 'uri',
  dns: 'dns',
}

/** Value of a key in the first element of x-forwarded-client-cert. */
function xfcc(args: string): FormatReader {
  const wanted = XFCC_KEYS[args]!
  return c => {
    const value = first(c.requestHeaders, 'x-forwarded-client-cert')
    if (value === null) return null
    for (const pair of splitQuoted(value)) {
      const equal = pair.indexOf('=')
      if (equal < 0 || pair.slice(0, equal).trim().toLowerCase() !== wanted) continue
      const text = pair.slice(equal + 1).trim()
      return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text
    }
    return null
  }
}

/** Splits at `;` and `,` outside quotes. */
function splitQuoted(text: string): string[] {
  const out: string[] = []
  let quoted = false
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (quoted && c === '\\') i++
    else if (c === '"') quoted = !quoted
    else if (!quoted && (c === ';' || c === ',')) {
      out.push(text.slice(from, i))
      from = i + 1
    }
  }
  out.push(text.slice(from))
  return out
}

function environment(name: string): FormatReader {
  const value = process.env[name]
  // The literal '-' also in JSON, as Envoy.
  const text = value === undefined ? '-' : latin1(value)
  return () => text
}

export const HEADER_OPERATORS: OperatorTable = {
  REQ: args => header('requestHeaders', args),
  REQUEST_HEADER: args => header('requestHeaders', args),
  RESP: args => header('responseHeaders', args),
  RESPONSE_HEADER: args => header('responseHeaders', args),
  TRAILER: args => header('responseTrailers', args),
  RESPONSE_TRAILER: args => header('responseTrailers', args),
  REQ_WITHOUT_QUERY: withoutQueryOf,
  REQUEST_HEADERS_BYTES: () => byteSize('requestHeaders'),
  RESPONSE_HEADERS_BYTES: () => byteSize('responseHeaders'),
  RESPONSE_TRAILERS_BYTES: () => byteSize('responseTrailers'),
  PATH: path,
  QUERY_PARAM: queryParam,
  // DECODED of the real one leaves %20 as it is.
  QUERY_PARAMS: () => currentQuery,
  GRPC_STATUS: grpcStatusText,
  GRPC_STATUS_NUMBER: () => grpcStatus,
  XFCC_VALUE: xfcc,
  ENVIRONMENT: environment,
}

import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Fate } from './http1-client.ts'

export interface Http2Request {
  readonly port: number
  readonly method: string
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /** With ALPN h2 when the scheme is https; else prior knowledge. */
  readonly serverName: string
  /** Gives up after this many ms. */
  readonly timeout: number
  /** Shown to servers that ask for a certificate; PEM. */
  readonly identity?: { readonly cert: string; readonly key: string } | null
}

export interface Http2Answer {
  /** null: none came. */
  readonly status: number | null
  /** `name: value`, in the order received. */
  readonly headers: readonly string[]
  readonly body: Buffer
  readonly trailers: readonly string[]
  readonly complete: boolean
  /** Code of the RST_STREAM that ended it before the answer was complete; null = none. */
  readonly reset: number | null
  /** Code of a GOAWAY that came before the end of the stream, other than NO_ERROR; null = none. */
  readonly goaway: number | null
  /** These fields cannot be sent over HTTP/2. */
  readonly unsent: boolean
  readonly fate: Fate
  /** `TLSv1.3 alpn=h2`, or why there was no handshake; null without TLS. */
  readonly tls: string | null
}

/** One request over a connection of its own. Never throws for what the peer does. */
export async function askHttp2(request: Http2Request): Promise<Http2Answer> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(() => {
    fate = 'timeout'
    resolve()
  }, request.timeout)
  let fate: Fate = 'kept'
  let tls: string | null = null
  let status: number | null = null
  let headers: string[] = []
  let trailers: string[] = []
  let ended = false
  let unsent = false
  let complete = false
  let reset: number | null = null
  let goaway: number | null = null
  const chunks: Buffer[] = []
  const fail = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'ECONNREFUSED') fate = 'refused'
    else if (error.code === 'ECONNRESET') fate = 'reset'
    else if (fate === 'kept') fate = 'closed'
    if (request.scheme === 'https') tls ??= error.message
    resolve()
  }
  const socket = dial(request).once('error', fail)
  const ready = request.scheme === 'https' ? 'secureConnect' : 'connect'
  socket.once(ready, () => {
    if (request.scheme === 'https') {
      const { alpnProtocol } = socket as TLSSocket
      tls = `${(socket as TLSSocket).getProtocol()} alpn=${alpnProtocol || '-'}`
      if (alpnProtocol !== 'h2') {
        resolve()
        return
      }
    }
    const session = connectHttp2(`${request.scheme}://${request.authority}`, { createConnection: () => socket })
    session.on('error', fail)
    session.on('goaway', code => {
      if (code !== constants.NGHTTP2_NO_ERROR) goaway = code
    })
    session.on('close', () => {
      if (fate === 'kept') fate = 'closed'
      resolve()
    })
    const stream = ask(session, request)
    if (stream === null) {
      unsent = true
      resolve()
      return
    }
    stream.on('response', (_fields, _flags, raw: string[]) => {
      headers = lines(raw).filter(line => !line.startsWith(':'))
      status = Number(
        lines(raw)
          .find(line => line.startsWith(':status: '))
          ?.slice(9),
      )
    })
    stream.on('trailers', (_fields, _flags, raw: string[]) => {
      trailers = lines(raw)
    })
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', () => {})
    stream.on('end', () => {
      ended = true
    })
    stream.on('close', () => {
      const code = stream.rstCode ?? constants.NGHTTP2_NO_ERROR
      complete = ended && code === constants.NGHTTP2_NO_ERROR
      // Streams that a closed connection took along have a code of Node's own making: which of both it was shows at once.
      setImmediate(() => {
        if (!complete && fate === 'kept' && !session.destroyed) reset = code
        resolve()
      })
    })
    if (request.body.length > 0) stream.end(request.body)
  })
  await promise
  clearTimeout(timer)
  socket.destroy()
  return { status, headers, body: Buffer.concat(chunks), trailers, complete, reset, goaway, unsent, fate, tls }
}

/** `CANCEL`; the number where it has no name. */
export function http2ErrorName(code: number): string {
  return ERROR_NAMES[code] ?? `code ${code}`
}

/** By number (RFC 9113 §7). */
const ERROR_NAMES: readonly string[] = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
]

/** Null when the fields are none of HTTP/2: one that must be single is there twice. */
function ask(session: ClientHttp2Session, request: Http2Request): ClientHttp2Stream | null {
  try {
    return session.request(fieldsOf(request), { endStream: request.body.length === 0 })
  } catch {
    return null
  }
}

function dial({ port, scheme, serverName, identity }: Http2Request): Socket {
  const place = { port, host: '127.0.0.1' }
  if (scheme === 'http') return connectTcp(place)
  return connectTls({ ...place, ...identity, servername: serverName, ALPNProtocols: ['h2'], rejectUnauthorized: false })
}

function fieldsOf({ method, scheme, authority, path, headers, body }: Http2Request): string[] {
  const fields = [':method', method, ':scheme', scheme, ':authority', authority, ':path', path]
  for (const [name, value] of headers) fields.push(name.toLowerCase(), value)
  if (body.length > 0) fields.push('content-length', String(body.length))
  return fields
}

function lines(raw: readonly string[]): string[] {
  const out: string[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) out.push(`${raw[i]}: ${raw[i + 1]}`)
  return out
}

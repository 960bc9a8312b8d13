import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { posix } from 'node:path'
import { promisify } from 'node:util'
import { lazyZlib } from '../base/lazy-modules.ts'

/** What Go's net/http and its mux answer by themselves, in their bytes: monitoring compares bodies and follows redirects. */
export function reply(response: ServerResponse, status: number, body: string): void {
  response
    .writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(body) })
    .end(body)
}

/** http.Error. */
export function goError(response: ServerResponse, status: number, message: string): void {
  response.setHeader('X-Content-Type-Options', 'nosniff')
  reply(response, status, `${message}\n`)
}

const STATUS_OF: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** A request that is none is answered by a body that says so; Node's own answer is without. */
export function answerMalformed(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const status = STATUS_OF[error.code ?? ''] ?? '400 Bad Request'
    socket.end(
      `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${status}`,
      () => socket.destroy(),
    )
  })
}

/** True when the request's own head was wrong, and answered (RFC 9112 section 3.2: one Host, and only one). */
export function refusedHead(request: IncomingMessage, response: ServerResponse): boolean {
  const hosts = request.headersDistinct.host?.length ?? 0
  if (hosts === 1 || (hosts === 0 && request.httpVersionMinor === 0)) return false
  const reason = hosts === 0 ? 'Bad Request: missing required Host header' : 'Bad Request'
  const body = `400 ${reason}`
  response.writeHead(400, reason, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  })
  response.end(body)
  return true
}

/** Path and query of a request target in origin form, absolute form, or `*`. */
export function targetOf(url: string): { readonly path: string; readonly query: string } {
  const relative = url.startsWith('/') ? url : url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, '')
  const mark = relative.indexOf('?')
  return mark < 0 ? { path: relative, query: '' } : { path: relative.slice(0, mark), query: relative.slice(mark + 1) }
}

/** Where http.ServeMux sends a path that is not clean, or that lacks the slash of one of `trees`; undefined: nowhere. */
export function redirectOf(path: string, trees: readonly string[]): string | undefined {
  if (!path.startsWith('/')) return undefined
  const normal = posix.normalize(path)
  if (normal !== path) return normal
  return trees.includes(`${path}/`) ? `${path}/` : undefined
}

export function redirect(response: ServerResponse, method: string, location: string, query: string): void {
  const target = query === '' ? location : `${location}?${query}`
  const text = target.replaceAll(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
  const body = method === 'GET' ? `<a href="${text}">Temporary Redirect</a>.\n\n` : ''
  response.writeHead(307, {
    ...(method === 'GET' || method === 'HEAD' ? { 'Content-Type': 'text/html; charset=utf-8' } : {}),
    Location: target,
    'Content-Length': Buffer.byteLength(body),
  })
  response.end(body)
}

/** Smaller bodies gain nothing (gzhttp.DefaultMinSize). */
const MIN_COMPRESSED = 1024

/** A body in the encoding that the client likes best; of two that it likes equally, zstd. */
export async function sendCompressed(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
  const accepted = String(request.headers['accept-encoding'] ?? '')
  const [forGzip, forZstd] = [quality(accepted, 'gzip'), quality(accepted, 'zstd')]
  let sent = body
  if (body.length >= MIN_COMPRESSED && request.method !== 'HEAD' && Math.max(forGzip, forZstd) > 0) {
    const zstd = forZstd >= forGzip
    const { gzip, zstdCompress } = lazyZlib()
    sent = await promisify<Buffer, Buffer>(zstd ? zstdCompress : gzip)(body)
    response.setHeader('Content-Encoding', zstd ? 'zstd' : 'gzip')
  }
  response.writeHead(200, { 'Content-Length': sent.length }).end(sent)
}

function quality(accepted: string, coding: string): number {
  for (const part of accepted.split(',')) {
    const [name = '', ...parameters] = part.split(';').map(piece => piece.trim().toLowerCase())
    if (name !== coding) continue
    const q = parameters.find(parameter => parameter.startsWith('q='))
    return q === undefined ? 1 : Number(q.slice(2)) || 0
  }
  return 0
}

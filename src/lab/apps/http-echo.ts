import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

/** Attempts by request id: what makes a first attempt fail and the second succeed. Old ids are forgotten. */
const attempts = new Map<string, number>()
const MAX_IDS = 10_000
const SLOW_MS = 2000

/**
 * HTTP echo of one version: answers with what it was asked, as JSON. Three paths misbehave, for the proxy to show its
 * worth: `/flaky` fails the first attempt of each request, `/slow-once` is slow in the first, `/slow` always.
 */
export function startHttpEcho(version: string, port: number, host: string): void {
  const server = createServer((request, response) => answer(version, request, response))
  // The proxy pools connections to this server; closing an idle one would race its next request.
  server.keepAliveTimeout = 3_600_000
  server.listen(port, host, () => process.stdout.write(`echo ${version} listens on ${host}:${port}\n`))
  process.on('SIGTERM', () => process.exit(0))
}

function answer(version: string, request: IncomingMessage, response: ServerResponse): void {
  const path = request.url ?? '/'
  const attempt = countAttempt(String(request.headers['x-request-id'] ?? ''))
  let size = 0
  request.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  request.on('end', () => {
    const status = path.startsWith('/flaky') && attempt === 1 ? 503 : 200
    const body = JSON.stringify({
      version,
      attempt,
      method: request.method,
      path,
      protocol: `HTTP/${request.httpVersion}`,
      bodyBytes: size,
      headers: request.headers,
    })
    const send = (): void => {
      response.writeHead(status, { 'content-type': 'application/json', 'x-echo-version': version })
      response.end(`${body}\n`)
    }
    if (path === '/slow' || (path === '/slow-once' && attempt === 1)) setTimeout(send, SLOW_MS)
    else send()
  })
}

function countAttempt(id: string): number {
  if (attempts.size > MAX_IDS) attempts.clear()
  const attempt = (attempts.get(id) ?? 0) + 1
  attempts.set(id, attempt)
  return attempt
}

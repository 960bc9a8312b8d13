import { request } from 'node:http'
import { deadlineAfter, refuseUpgrade } from './outgoing-http.ts'

export interface AdminResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export interface AdminRequest {
  readonly method?: string
  /** Sent as it stands: Istio's readiness query is not percent-encoded either. */
  readonly path: string
  readonly host?: string
  readonly port: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs: number
  /** Bytes; default 512 MiB: a metrics page of 10,000 clusters is about 60 MB, more than this is a runaway. */
  readonly maxBody?: number
}

const MAX_BODY = 512 << 20

/** One request on a connection of its own to a local port. Rejects with an Error that names the address. */
export function ask(options: AdminRequest): Promise<AdminResponse> {
  const host = options.host ?? '127.0.0.1'
  const maxBody = options.maxBody ?? MAX_BODY
  const method = options.method ?? 'GET'
  const at = `${host.includes(':') ? `[${host}]` : host}:${options.port}`
  const verb = method.charAt(0) + method.slice(1).toLowerCase()
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(new Error(`${verb} "http://${at}${options.path}": ${error.message}`))
    const outgoing = request(
      {
        host,
        port: options.port,
        path: encodeIllegal(options.path),
        method,
        agent: false,
        headers: { ...options.headers, ...(options.body ? { 'content-length': Buffer.byteLength(options.body) } : {}) },
        signal: deadlineAfter(options.timeoutMs),
      },
      incoming => {
        const chunks: Buffer[] = []
        let size = 0
        incoming.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > maxBody) incoming.destroy(new Error(`answer exceeds ${maxBody} bytes`))
          else chunks.push(chunk)
        })
        incoming.on('error', fail)
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }),
        )
      },
    )
    refuseUpgrade(outgoing)
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      // The words of Go's client, which operators search for.
      if (error.code === 'ECONNREFUSED') fail(new Error(`dial tcp ${at}: connect: connection refused`))
      else if (error.name === 'TimeoutError' || error.name === 'AbortError')
        fail(new Error(`no answer in ${options.timeoutMs} ms`))
      else fail(error)
    })
    outgoing.end(options.body)
  })
}

/** Node refuses what HTTP does not allow in a path; `^(a|b)$` and the like are allowed through raw. */
function encodeIllegal(path: string): string {
  return path.replaceAll(/[^\x21-\x7e]/g, encodeURIComponent)
}

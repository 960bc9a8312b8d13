import { connect as connectTcp } from 'node:net'
import { lazyHttp2 } from '../base/lazy-modules.ts'

export interface HealthCheck {
  readonly host: string
  readonly port: number
  /** Local address to bind to. */
  readonly source: string | undefined
  readonly service: string
  readonly timeoutMs: number
}

const SERVING = 1

/**
 * grpc.health.v1.Health/Check in the clear. By hand on node:http2, since grpc-js cannot choose the local address. Resolves
 * to whether the answer is SERVING; rejects with the reason when there is none.
 */
export function grpcHealthCheck(check: HealthCheck): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const { host, port, source } = check
    const authority = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
    const session = lazyHttp2().connect(authority, {
      createConnection: () => connectTcp({ host, port, ...(source === undefined ? {} : { localAddress: source }) }),
    })
    const fail = (error: Error): void => {
      session.destroy()
      reject(error)
    }
    const timer = setTimeout(() => fail(new Error('grpc request not finished within timeout')), check.timeoutMs)
    session.on('close', () => clearTimeout(timer))
    session.on('error', fail)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    let status = ''
    const body: Buffer[] = []
    const readStatus = (headers: Readonly<Record<string, unknown>>): void => {
      status = String(headers['grpc-status'] ?? status)
    }
    stream.on('response', readStatus)
    stream.on('trailers', readStatus)
    stream.on('data', (chunk: Buffer) => {
      if (body.length < 16) body.push(chunk)
    })
    stream.on('error', fail)
    stream.on('end', () => {
      session.close()
      if (status !== '0') {
        const what = status === '12' ? 'server does not implement the grpc health protocol' : 'grpc probe failed'
        reject(new Error(`${what} (grpc-status ${status === '' ? 'missing' : status})`))
      } else {
        resolve(servingStatus(Buffer.concat(body)) === SERVING)
      }
    })
    stream.end(frame(check.service))
  })
}

/** Length-prefixed HealthCheckRequest { string service = 1 }. */
function frame(service: string): Buffer {
  const name = Buffer.from(service)
  if (name.length > 127) throw new Error(`gRPC probe: service name of ${name.length} bytes is too long`)
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name])
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** HealthCheckResponse { ServingStatus status = 1 }; 0 (UNKNOWN) when absent. */
function servingStatus(body: Buffer): number {
  return body.length >= 7 && body[0] === 0 && body[5] === 0x08 ? (body[6] as number) : 0
}

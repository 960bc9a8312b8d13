import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** Where and how to connect. */
export interface Endpoint {
  readonly host: string
  readonly port: number
  /** Certificates are not checked: load goes to proxies under test. `servername`: SNI, '' for none. */
  readonly tls: {
    readonly alpn: string
    readonly servername: string
    readonly cert?: string
    readonly key?: string
  } | null
}

export interface SocketEvents {
  onConnected(): void
  /** `bytes[0..length)` is valid during the call only. */
  onBytes(bytes: Buffer, length: number): void
  /** The connection is gone; `code` is the errno name of what broke it, '' when the peer closed it in order. */
  onGone(code: string): void
}

/** One for all connections: libuv reads into it and calls back before the next read. */
const shared = Buffer.allocUnsafeSlow(65536)

export function open(endpoint: Endpoint, events: SocketEvents): Socket {
  const { host, port, tls } = endpoint
  let code = ''
  let socket: Socket
  if (tls === null) {
    const onread = {
      buffer: shared,
      callback: (length: number) => {
        events.onBytes(shared, length)
        return true
      },
    }
    socket = connect({ host, port, noDelay: true, onread })
    socket.once('connect', () => events.onConnected())
  } else {
    const identity = tls.cert === undefined || tls.key === undefined ? {} : { cert: tls.cert, key: tls.key }
    const { alpn, servername } = tls
    const options = { host, port, servername, rejectUnauthorized: false, ALPNProtocols: [alpn], ...identity }
    const secure = connectTls(options)
    secure.setNoDelay(true)
    secure.once('secureConnect', () => {
      if (alpn === 'h2' && secure.alpnProtocol !== 'h2') {
        code = 'ALPN'
        secure.destroy()
      } else events.onConnected()
    })
    secure.on('data', (bytes: Buffer) => events.onBytes(bytes, bytes.length))
    socket = secure
  }
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? 'ERROR'
  })
  socket.on('close', () => events.onGone(code))
  return socket
}

import { FieldPath } from '../../../src/config/field-path.ts'
import { Acceptor } from '../../../src/io/acceptor.ts'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseHow, type Connection } from '../../../src/io/connection.ts'
import { openListenSocket, PLAIN_SOCKET } from '../../../src/io/listen-socket.ts'
import { accept, connect, type SocketConnection } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { parseClientHello } from '../../../src/io/transport-sockets/client-hello.ts'
import { ClientTls } from '../../../src/io/transport-sockets/tls-client.ts'
import { parseDownstreamTls, parseUpstreamTls } from '../../../src/io/transport-sockets/tls-config.ts'
import { ServerTls } from '../../../src/io/transport-sockets/tls-server.ts'
import { certificatePath } from '../../harness/certificates.ts'
import { Recorder } from '../../unit/io/loopback.ts'
import { type FakeServices, fakeServices } from '../../unit/network/fake-services.ts'

type Proto = Parameters<typeof parseDownstreamTls>[0]
type UpstreamProto = Parameters<typeof parseUpstreamTls>[0]

export function pair(name: string) {
  return {
    certificate_chain: { filename: certificatePath(`${name}.pem`) },
    private_key: { filename: certificatePath(`${name}.key`) },
  }
}

export const CA = { trusted_ca: { filename: certificatePath('ca.pem') } }

export interface TlsServer {
  readonly port: number
  readonly services: FakeServices
  readonly accepted: { connection: SocketConnection; handler: Recorder }[]
  close(): void
}

/** Echoes; the ClientHello is read as the listener does. */
export async function tlsServer(proto: Proto, services: FakeServices = fakeServices()): Promise<TlsServer> {
  const driver = new ServerTls(
    parseDownstreamTls(proto, FieldPath.root(), []),
    services.stats.scope('listener.x.'),
    services,
    'chain',
  )
  const loop = new SocketLoop(services.timers)
  const accepted: TlsServer['accepted'] = []
  const acceptor = new Acceptor(loop, {
    onAccept(fd) {
      const handler = new Recorder().answer((c, chunk, end) => {
        if (end) c.end()
        else c.write(chunk)
      })
      let bytes = Buffer.alloc(0)
      const peek = {
        onData(c: Connection, chunk: Uint8Array): void {
          bytes = Buffer.concat([bytes, chunk])
          const { state, hello } = parseClientHello(bytes)
          if (state === 0) return
          const connection = c as SocketConnection
          connection.clientHello = hello
          connection.handler = handler
          connection.secure(driver, bytes, 0)
        },
        onClose(): void {},
      }
      const connection = accept(loop, fd, peek, 0)
      if (connection !== null) accepted.push({ connection, handler })
    },
    onAcceptError() {},
  })
  acceptor.listen(openListenSocket(ipAddress('127.0.0.1', 0), PLAIN_SOCKET), 16)
  return {
    port: acceptor.port,
    services,
    accepted,
    close() {
      acceptor.close(true)
      driver.close()
      for (const a of accepted) a.connection.close(CloseHow.NoFlush)
    },
  }
}

export interface TlsDialer {
  readonly services: FakeServices
  dial(port: number, hostname?: string): { connection: SocketConnection; handler: Recorder }
}

export function tlsClient(proto: UpstreamProto, services: FakeServices = fakeServices()): TlsDialer {
  const client = new ClientTls(
    parseUpstreamTls(proto, FieldPath.root(), []),
    services.stats.scope('cluster.x.'),
    services,
  )
  const loop = new SocketLoop(services.timers)
  return {
    services,
    dial(port, hostname = '') {
      const handler = new Recorder()
      const options = {
        connectTimeout: 5000,
        source: null,
        original: null,
        preamble: null,
        watches: null,
        tls: client.driver(hostname),
        bufferLimit: 0,
      }
      return { connection: connect(loop, ipAddress('127.0.0.1', port), options, handler), handler }
    },
  }
}

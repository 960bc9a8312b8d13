import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import t from 'tap'
import { internalAddress, isPipe } from '../../../src/io/address.ts'
import { CloseHow, CloseReason, Flow, ReadHold } from '../../../src/io/connection.ts'
import { InternalStream } from '../../../src/io/internal-stream.ts'
import { acceptInternal, connect, type SocketConnection } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { PLAIN_CONNECT, Recorder } from './loopback.ts'

const ADDRESS = internalAddress('inner', 'id')
const OPTIONS = { ...PLAIN_CONNECT, bufferLimit: 1000 }

interface End {
  readonly connection: SocketConnection
  readonly handler: Recorder
}

/** A connection within the worker; `limit` bytes wait unread before the writer's own buffer fills. */
function pair(limit = 1000, holds = 0): { client: End; server: End } {
  const loop = new SocketLoop(new VirtualTimers())
  const [near, far] = InternalStream.pair(loop, ADDRESS, limit)
  const client = new Recorder()
  const server = new Recorder()
  const accepted = acceptInternal(loop, far, server, holds)
  return {
    client: { handler: client, connection: connect(loop, ADDRESS, OPTIONS, client, near) },
    server: { handler: server, connection: accepted },
  }
}

t.test('bytes go both ways, and both ends have names', async t => {
  const { client, server } = pair()
  await client.handler.until(() => client.handler.connected)
  client.connection.write('ping\xff')
  client.connection.write(Buffer.from('!'))
  await server.handler.until(() => server.handler.received === 6)
  t.equal(server.handler.text, 'ping\xff!')
  server.connection.write('pong')
  await client.handler.until(() => client.handler.received === 4)
  t.equal(client.connection.remote.text, 'envoy://inner/id')
  t.equal(client.connection.local.text, 'envoy://internal_client_address/')
  t.equal(server.connection.local.text, 'envoy://inner/id')
  t.equal(server.connection.remote.text, 'envoy://internal_client_address/')
  t.ok(isPipe(server.connection.remote))
})

t.test('a reader that holds back fills the limit, then the buffer of the writer, who is told to pause', async t => {
  const { client, server } = pair(1000, ReadHold.Setup)
  await client.handler.until(() => client.handler.connected)
  client.connection.write(Buffer.alloc(1000))
  client.connection.flush()
  t.equal(client.connection.bufferedBytes, 0, 'as much as a socket would take')
  t.equal(client.connection.write(Buffer.alloc(1000)), Flow.Continue)
  t.equal(client.connection.write(Buffer.alloc(1)), Flow.Pause)
  client.connection.flush()
  t.equal(client.connection.bufferedBytes, 1001)
  server.connection.holdReading(ReadHold.Setup, false)
  await client.handler.until(() => client.handler.writable === 1)
  t.equal(server.handler.received, 2001)
})

t.test('half-close: the other direction goes on until it is ended, too', async t => {
  const { client, server } = pair()
  await client.handler.until(() => client.handler.connected)
  client.connection.write('last')
  client.connection.end()
  await server.handler.until(() => server.handler.ended)
  t.equal(server.handler.text, 'last')
  server.connection.write('answer')
  await client.handler.until(() => client.handler.text === 'answer')
  server.connection.end()
  await client.handler.until(() => client.handler.closed !== null)
  await server.handler.until(() => server.handler.closed !== null)
  t.equal(client.handler.closed, CloseReason.Remote)
  t.equal(server.handler.closed, CloseReason.Remote)
})

t.test('close with a flush: everything arrives before the end', async t => {
  const { client, server } = pair(10)
  await client.handler.until(() => client.handler.connected)
  client.connection.write('x'.repeat(500))
  client.connection.close(CloseHow.Flush)
  await server.handler.until(() => server.handler.ended)
  t.equal(server.handler.received, 500)
})

t.test('a reset reaches the other end as one, before what was sent', async t => {
  const { client, server } = pair(1000, ReadHold.Setup)
  await client.handler.until(() => client.handler.connected)
  client.connection.write('lost')
  client.connection.flush()
  client.connection.close(CloseHow.Reset)
  await server.handler.until(() => server.handler.closed !== null)
  t.equal(server.handler.closed, CloseReason.RemoteReset)
  t.equal(server.handler.received, 0)
})

t.test('an end that goes without having read what is there resets the other, as with TCP', async t => {
  const { client, server } = pair(1000, ReadHold.Setup)
  await client.handler.until(() => client.handler.connected)
  client.connection.write('unread')
  client.connection.flush()
  server.connection.close(CloseHow.NoFlush)
  await client.handler.until(() => client.handler.closed !== null)
  t.equal(client.handler.closed, CloseReason.RemoteReset)
})

t.test('writing to an end that is gone fails', async t => {
  const { client, server } = pair()
  await client.handler.until(() => client.handler.connected)
  server.connection.close(CloseHow.NoFlush)
  await client.handler.until(() => client.handler.ended)
  client.connection.write('anyone?')
  await client.handler.until(() => client.handler.closed !== null)
  t.equal(client.handler.closed, CloseReason.RemoteReset)
})

t.test('nobody listens, or refuses at once: the connection fails in Envoy’s words', async t => {
  const loop = new SocketLoop(new VirtualTimers())
  const handler = new Recorder()
  const connection = connect(loop, ADDRESS, OPTIONS, handler, InternalStream.refused(loop, ADDRESS))
  await handler.until(() => handler.closed !== null)
  t.equal(handler.closed, CloseReason.ConnectFailed)
  t.equal(connection.transportFailure, 'immediate connect error: Invalid argument|remote address:envoy://inner/id')
  const { client, server } = pair()
  server.connection.close(CloseHow.NoFlush)
  await client.handler.until(() => client.handler.closed !== null)
  t.equal(client.handler.closed, CloseReason.ConnectFailed)
})

t.test('TLS goes over it', async t => {
  const certs = new URL('../../harness/certs/', import.meta.url)
  const file = (name: string): Buffer => readFileSync(new URL(name, certs))
  const loop = new SocketLoop(new VirtualTimers())
  const [near, far] = InternalStream.pair(loop, ADDRESS, 100)
  const secureContext = tls.createSecureContext({ key: file('server.key'), cert: file('server.pem') })
  const server = new tls.TLSSocket(far.release(), { isServer: true, secureContext })
  const client = tls.connect({ socket: near.release(), rejectUnauthorized: false })
  server.on('data', chunk => server.end(`${chunk}`.toUpperCase()))
  client.write('x'.repeat(5000))
  client.end()
  let answer = ''
  for await (const chunk of client) answer += `${chunk}`
  t.match(answer, /^X+$/)
})

import net from 'node:net'
import t from 'tap'
import { ipAddress, pipeAddress } from '../../../src/io/address.ts'
import { CloseHow, CloseReason, Flow, ReadHold } from '../../../src/io/connection.ts'
import { connectFailure, LATE_CONNECT } from '../../../src/io/errno.ts'
import { connect } from '../../../src/io/socket-connection.ts'
import { loopback, PLAIN_CONNECT, Recorder } from './loopback.ts'

t.test('bytes and latin1 strings written in one turn arrive in order, in one chunk', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  await client.handler.until(() => client.handler.connected)
  client.connection.write('a\xff')
  client.connection.write(Buffer.from('b'))
  client.connection.write('c')
  client.connection.write('d')
  t.equal(client.connection.bufferedBytes, 5)
  const server = await pair.next()
  await server.handler.until(() => server.handler.received === 5)
  t.equal(server.handler.text, 'a\xffbcd')
  t.equal(server.handler.chunks.length, 1)
  t.equal(client.connection.bytesSent, 5)
  t.equal(server.connection.bytesReceived, 5)
  t.equal(client.connection.bufferedBytes, 0)
})

t.test('a large mixed batch keeps its order too', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  client.connection.write('head')
  client.connection.write(Buffer.alloc(100_000, 'x'))
  client.connection.write('tail')
  const server = await pair.next()
  await server.handler.until(() => server.handler.received === 100_008)
  t.ok(server.handler.text.startsWith('headxx'))
  t.ok(server.handler.text.endsWith('xxtail'))
})

t.test('addresses and ids', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  const server = await pair.next()
  await client.handler.until(() => client.handler.connected)
  t.equal(client.connection.remote.text, `127.0.0.1:${pair.port}`)
  t.equal(server.connection.directLocal.text, `127.0.0.1:${pair.port}`)
  t.equal(server.connection.remote.text, client.connection.directLocal.text)
  t.not(client.connection.id, server.connection.id)
  t.same(ipAddress('::ffff:10.0.0.1', 80), { ip: '10.0.0.1', port: 80, text: '10.0.0.1:80' })
  t.equal(ipAddress('fd00::1', 80).text, '[fd00::1]:80')
})

t.test('a write above the high watermark says Pause, and onWritable follows when the peer has read', async t => {
  const pair = await loopback(ReadHold.Setup)
  t.teardown(() => pair.close())
  const client = pair.dial({ bufferLimit: 1000 })
  const server = await pair.next()
  await client.handler.until(() => client.handler.connected)
  t.equal(client.connection.write(Buffer.alloc(1000)), Flow.Continue)
  let total = 1000
  while (client.connection.write(Buffer.alloc(1_000_000)) === Flow.Continue) total += 1_000_000
  total += 1_000_000
  t.equal(client.handler.writable, 0)
  for (let i = 0; i < 10; i++) {
    await new Promise(setImmediate)
    if (client.connection.bufferedBytes > 0) break
    client.connection.write(Buffer.alloc(4_000_000))
    total += 4_000_000
  }
  const before = client.handler.writable
  server.connection.holdReading(ReadHold.Setup, false)
  await client.handler.until(() => client.handler.writable > before && client.connection.bufferedBytes <= 500)
  await server.handler.until(() => server.handler.received === total)
  t.pass()
})

t.test('a held connection delivers nothing until every holder has let go', async t => {
  const pair = await loopback(ReadHold.Setup)
  t.teardown(() => pair.close())
  const client = pair.dial()
  const server = await pair.next()
  server.connection.holdReading(ReadHold.Filter, true)
  server.connection.holdReading(ReadHold.Setup, false)
  client.connection.write('x')
  const second = pair.dial()
  second.connection.write('y')
  const other = await pair.next()
  other.connection.holdReading(ReadHold.Setup, false)
  await other.handler.until(() => other.handler.received === 1)
  t.equal(server.handler.received, 0)
  t.equal(server.connection.readHolds, ReadHold.Filter)
  server.connection.holdReading(ReadHold.Filter, false)
  await server.handler.until(() => server.handler.received === 1)
})

t.test('half-close: the other direction goes on, and both ends make a Remote close', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  client.connection.write('ask')
  client.connection.end()
  t.equal(client.connection.write('late'), Flow.Continue)
  const server = await pair.next()
  await server.handler.until(() => server.handler.ended)
  t.equal(server.handler.text, 'ask')
  server.connection.write('answer')
  server.connection.end()
  await client.handler.until(() => client.handler.closed !== null)
  await server.handler.until(() => server.handler.closed !== null)
  t.equal(client.handler.text, 'answer')
  t.equal(client.handler.closed, CloseReason.Remote)
  t.equal(server.handler.closed, CloseReason.Remote)
})

t.test('Flush sends what was written, then FIN', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  const server = await pair.next()
  server.connection.write(Buffer.alloc(300_000, 'z'))
  server.connection.close(CloseHow.Flush)
  t.ok(server.connection.closed)
  await client.handler.until(() => client.handler.ended)
  t.equal(client.handler.received, 300_000)
  await server.handler.until(() => server.handler.closed !== null)
  t.equal(server.handler.closed, CloseReason.Local)
  client.connection.end()
})

t.test('FlushAndDelay drains a talking peer until the delayed-close timeout', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  const server = await pair.next()
  server.connection.write('bye')
  server.connection.close(CloseHow.FlushAndDelay)
  await client.handler.until(() => client.handler.ended)
  client.connection.write('still talking')
  pair.timers.pass(999)
  await new Promise(setImmediate)
  t.equal(server.handler.closed, null)
  pair.timers.pass(2)
  await server.handler.until(() => server.handler.closed !== null)
  t.equal(server.handler.closed, CloseReason.Local)
  t.equal(server.handler.text, '')
})

t.test('FlushAndDelay ends as soon as the peer closes too', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  client.handler.answer((c, _, end) => end && c.end())
  const server = await pair.next()
  server.connection.close(CloseHow.FlushAndDelay)
  await server.handler.until(() => server.handler.closed !== null)
  t.equal(server.handler.closed, CloseReason.Local)
})

t.test('Reset reaches the peer as RemoteReset', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial()
  const server = await pair.next()
  await client.handler.until(() => client.handler.connected)
  server.connection.write('never sent')
  server.connection.close(CloseHow.Reset)
  await client.handler.until(() => client.handler.closed !== null)
  t.equal(client.handler.closed, CloseReason.RemoteReset)
  t.equal(client.handler.text, '')
  await server.handler.until(() => server.handler.closed !== null)
  t.equal(server.handler.closed, CloseReason.Local)
})

t.test("a refused connection is ConnectFailed with Envoy's text", async t => {
  const pair = await loopback()
  pair.close()
  const handler = new Recorder()
  const connection = connect(pair.loop, ipAddress('127.0.0.1', pair.port), PLAIN_CONNECT, handler)
  await handler.until(() => handler.closed !== null)
  t.equal(handler.closed, CloseReason.ConnectFailed)
  t.equal(connection.transportFailure, 'delayed connect error: Connection refused')
  const unix = new Recorder()
  const second = connect(pair.loop, pipeAddress('/nonexistent/socket'), PLAIN_CONNECT, unix)
  await unix.until(() => unix.closed !== null)
  t.equal(
    second.transportFailure,
    'immediate connect error: No such file or directory|remote address:/nonexistent/socket',
  )
  const multicast = new Recorder()
  const third = connect(pair.loop, ipAddress('224.0.0.1', 81), PLAIN_CONNECT, multicast)
  await multicast.until(() => multicast.closed !== null)
  t.equal(third.transportFailure, 'immediate connect error: Network is unreachable|remote address:224.0.0.1:81')
  t.equal(
    connectFailure('ENETUNREACH', LATE_CONNECT, ipAddress('10.96.0.10', 80)),
    'delayed connect error: Network is unreachable',
    'a router on the way said so',
  )
})

t.test('connect timeout', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial({ connectTimeout: 250 })
  pair.timers.pass(251)
  await client.handler.until(() => client.handler.closed !== null)
  t.equal(client.handler.closed, CloseReason.ConnectTimeout)
  t.notOk(client.handler.connected)
})

t.test('source address of a client connection', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const client = pair.dial({ source: ipAddress('127.0.0.2', 0) })
  const server = await pair.next()
  await client.handler.until(() => client.handler.connected)
  t.equal(server.connection.remote.ip, '127.0.0.2')
  t.equal(client.connection.local.ip, '127.0.0.2')
})

t.test('Unix sockets, abstract ones too', { skip: process.platform !== 'linux' }, async t => {
  const pair = await loopback()
  const name = `remora-test-${process.pid}`
  const server = net.createServer(s => s.end('hi')).listen({ path: `\0${name}` })
  await new Promise(done => server.once('listening', done))
  const handler = new Recorder()
  const connection = connect(pair.loop, pipeAddress(`@${name}`), PLAIN_CONNECT, handler)
  await handler.until(() => handler.ended)
  t.equal(handler.text, 'hi')
  connection.close(CloseHow.NoFlush)
  server.close()
  pair.close()
})

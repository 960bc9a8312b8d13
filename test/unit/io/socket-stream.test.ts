import { once } from 'node:events'
import net from 'node:net'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { CloseHow, Flow } from '../../../src/io/connection.ts'
import { libc } from '../../../src/io/libc.ts'
import { OpenDescriptors } from '../../../src/io/open-descriptors.ts'
import { loopback } from './loopback.ts'

const MSG_OOB = 1
const HOLD = 64

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve))
}

/** The descriptor of a socket of Node's. */
const descriptor = (socket: net.Socket): number => (socket as unknown as { _handle: { fd: number } })._handle.fd

t.test('urgent data in the middle cuts a read short: what stands behind it is read all the same', async t => {
  const pair = await loopback(HOLD)
  t.teardown(() => pair.close())
  const peer = net.connect(pair.port, '127.0.0.1')
  await once(peer, 'connect')
  t.teardown(() => peer.destroy())
  const server = await pair.next()
  const send = (text: string, flags: number): number =>
    libc()!.sendto(descriptor(peer), Buffer.from(text), text.length, flags, Buffer.alloc(16), 16)
  t.equal(send('before', 0), 6)
  t.equal(send('!', MSG_OOB), 1)
  t.equal(send('behind', 0), 6)
  server.connection.holdReading(HOLD, false)
  // The urgent byte itself is not part of the stream.
  await server.handler.until(() => server.handler.text === 'beforebehind')
})

t.test('an end that came with the last bytes is seen', async t => {
  const pair = await loopback(HOLD)
  t.teardown(() => pair.close())
  const peer = net.connect(pair.port, '127.0.0.1')
  const server = await pair.next()
  t.teardown(() => peer.destroy())
  peer.end('all there is')
  await once(peer, 'finish')
  // Both are known before anything is read.
  await turns(5)
  server.connection.holdReading(HOLD, false)
  await server.handler.until(() => server.handler.ended)
  t.equal(server.handler.text, 'all there is')
})

t.test('the end is told when what the bytes before it have caused is written', async t => {
  const pair = await loopback(HOLD)
  t.teardown(() => pair.close())
  const peer = net.connect({ port: pair.port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => peer.destroy())
  let answer = ''
  peer.on('data', d => {
    answer += d
  })
  const server = await pair.next()
  server.handler.answer((c, chunk, end) => {
    if (end) c.close(CloseHow.NoFlush)
    else c.write(`answer to ${String(chunk)}`)
  })
  peer.end('all')
  await once(peer, 'finish')
  await turns(5)
  server.connection.holdReading(HOLD, false)
  await once(peer, 'close')
  t.equal(answer, 'answer to all')
})

t.test('what came while reading was held, more than one read takes, arrives without more coming', async t => {
  const pair = await loopback(HOLD)
  t.teardown(() => pair.close())
  const peer = net.connect(pair.port, '127.0.0.1')
  t.teardown(() => peer.destroy())
  const server = await pair.next()
  const all = Buffer.alloc(1_500_000, 'x')
  peer.write(all)
  await turns(5)
  server.connection.holdReading(HOLD, false)
  await server.handler.until(() => server.handler.received === all.length)
})

t.test('long reads are for who may hold so much', async t => {
  for (const [bufferLimit, long] of [
    [100_000, false],
    [1_048_576, true],
  ] as const) {
    const pair = await loopback()
    t.teardown(() => pair.close())
    const { connection, handler } = pair.dial({ bufferLimit })
    const server = await pair.next()
    await handler.until(() => handler.connected)
    const all = Buffer.alloc(1_500_000, 'x')
    connection.holdReading(HOLD, true)
    server.connection.write(all)
    await turns(5)
    connection.holdReading(HOLD, false)
    await handler.until(() => handler.received === all.length)
    t.equal(Math.max(...handler.chunks.map(chunk => chunk.length)) > 65_536, long)
  }
})

t.test('text above the size of a write, behind one that was not taken, keeps its order', async t => {
  const pair = await loopback(HOLD)
  t.teardown(() => pair.close())
  const { connection } = pair.dial()
  const server = await pair.next()
  const pieces = Array.from({ length: 40 }, (_, i) => String.fromCharCode(97 + (i % 26)).repeat(1_000_000 + i))
  for (const piece of pieces) {
    connection.write(piece)
    await turns(1)
  }
  t.ok(connection.bufferedBytes > 0, 'the kernel does not take forty megabytes')
  server.connection.holdReading(HOLD, false)
  const whole = pieces.join('')
  await server.handler.until(() => server.handler.received === whole.length)
  t.ok(server.handler.text === whole)
  t.equal(connection.bufferedBytes, 0)
})

t.test('what is written because several pieces were taken at once follows them', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const { connection, handler } = pair.dial({ bufferLimit: 1000 })
  const server = await pair.next()
  await handler.until(() => handler.connected)
  const pieces = ['a', 'b', 'c', 'd'].map(letter => letter.repeat(20_000))
  handler.onWritable = () => {
    connection.write(Buffer.from(pieces[2]!))
    connection.write(Buffer.from(pieces[3]!))
    handler.onWritable = () => {}
  }
  connection.write(Buffer.from(pieces[0]!))
  t.equal(connection.write(Buffer.from(pieces[1]!)), Flow.Pause)
  await server.handler.until(() => server.handler.received === 80_000)
  t.ok(server.handler.text === pieces.join(''))
})

t.test('a connection closed while others of the same turn are served is not served any more', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const peers = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const peer = net.connect(pair.port, '127.0.0.1')
      peer.on('error', () => {})
      await once(peer, 'connect')
      return peer
    }),
  )
  const servers: Awaited<ReturnType<typeof pair.next>>[] = []
  for (const _ of peers) servers.push(await pair.next())
  let served = 0
  for (const one of servers) {
    one.handler.answer(() => {
      served++
      for (const other of servers) if (other !== one) other.connection.close(CloseHow.Reset)
    })
  }
  for (const peer of peers) peer.write('now')
  await servers[0]!.handler.until(() => servers[0]!.handler.closed !== null || served > 0)
  for (const one of servers) if (one.handler.received === 0) await one.handler.until(() => one.handler.closed !== null)
  t.equal(served, 1)
})

t.test('descriptors that a dead worker has left open are closed', async t => {
  const table = new OpenDescriptors()
  const fd = libc()!.socket(2, 1)
  const gone = libc()!.socket(2, 1)
  const ofWorker = new OpenDescriptors(table.memory)
  ofWorker.add(fd)
  ofWorker.add(gone)
  ofWorker.remove(gone)
  const name = Buffer.alloc(128)
  const length = Buffer.alloc(4)
  length.writeInt32LE(name.length)
  table.closeAll()
  t.equal(libc()!.getsockname(fd, name, length), -1)
  t.equal(libc()!.getsockname(gone, name, length), 0, 'it was closed, and its number is somebody else’s')
  libc()!.close(gone)
})

t.test('what a server says at once, before we know that we are connected, is read', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const said = new Int32Array(new SharedArrayBuffer(4))
  const server = new Worker(SAYS_FIRST, { eval: true, workerData: said })
  t.teardown(() => server.terminate())
  const [port] = await once(server, 'message')
  const { handler } = pair.dial({}, port as number)
  Atomics.wait(said, 0, 0)
  await handler.until(() => handler.text === '220 ready')
  t.ok(handler.connected)
})

const SAYS_FIRST = `
  const { parentPort, workerData: said } = require('node:worker_threads')
  const server = require('node:net').createServer(socket => {
    socket.write('220 ready', () => {
      Atomics.store(said, 0, 1)
      Atomics.notify(said, 0)
    })
  })
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`

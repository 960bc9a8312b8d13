import { once } from 'node:events'
import { existsSync, rmSync, statSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'
import { Acceptor } from '../../../src/io/acceptor.ts'
import { ipAddress, pipeAddress } from '../../../src/io/address.ts'
import { CloseHow } from '../../../src/io/connection.ts'
import {
  closeSocket,
  duplicate,
  openListenSocket,
  PLAIN_SOCKET,
  startListening,
} from '../../../src/io/listen-socket.ts'
import { accept } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { allocatePort } from '../../harness/ports.ts'

const skip = process.platform === 'linux' ? false : 'needs Linux'
const OPTIONS = { ...PLAIN_SOCKET, reusePort: true }

function ask(where: net.NetConnectOpts): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = net.connect(where)
    socket.on('data', d => {
      text += d
    })
    socket.on('end', () => resolve(text))
    socket.on('error', reject)
  })
}

async function startWorker(fd: number, name: string): Promise<Worker> {
  const worker = new Worker(new URL('./accept-worker.ts', import.meta.url), { workerData: { fd, name } })
  await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  return worker
}

t.test('each worker accepts from its own socket of one port', { skip }, async t => {
  const port = await allocatePort()
  const address = ipAddress('127.0.0.1', port)
  const fds = [openListenSocket(address, OPTIONS), openListenSocket(address, OPTIONS)]
  const workers = [await startWorker(duplicate(fds[0]!), 'w0'), await startWorker(duplicate(fds[1]!), 'w1')]
  const seen = new Set<string>()
  for (let i = 0; i < 200 && seen.size < 2; i++) seen.add(await ask({ host: '127.0.0.1', port }))
  t.same([...seen].sort(), ['w0', 'w1'])
  for (const worker of workers) await worker.terminate()
  for (const fd of fds) closeSocket(fd)
})

t.test('the queue of a worker that died is served by its replacement', { skip }, async t => {
  const port = await allocatePort()
  const fd = openListenSocket(ipAddress('127.0.0.1', port), OPTIONS)
  startListening(fd, 64)
  const first = await startWorker(duplicate(fd), 'first')
  t.equal(await ask({ host: '127.0.0.1', port }), 'first')
  await first.terminate()
  const waiting = ask({ host: '127.0.0.1', port })
  const second = await startWorker(duplicate(fd), 'second')
  t.equal(await waiting, 'second')
  await second.terminate()
  closeSocket(fd)
})

t.test('IPv6 and dual stack', { skip }, async t => {
  const port = await allocatePort()
  const fd = openListenSocket(ipAddress('::', port), { ...OPTIONS, ipv4Compat: true })
  const worker = await startWorker(duplicate(fd), 'dual')
  t.equal(await ask({ host: '127.0.0.1', port }), 'dual')
  await worker.terminate()
  closeSocket(fd)
})

t.test('Unix sockets: mode, leftovers, abstract names', { skip }, async t => {
  // Not in the test's own folder: a Unix path has at most 107 bytes.
  const path = join(tmpdir(), `remora-${process.pid}.sock`)
  t.teardown(() => rmSync(path, { force: true }))
  for (const round of [1, 2]) {
    const fd = openListenSocket(pipeAddress(path), { ...OPTIONS, mode: 0o600 })
    t.ok(existsSync(path))
    t.equal(statSync(path).mode & 0o777, 0o600)
    const worker = await startWorker(duplicate(fd), `unix${round}`)
    t.equal(await ask({ path }), `unix${round}`)
    await worker.terminate()
    closeSocket(fd)
  }
  const fd = openListenSocket(pipeAddress(`@remora-${process.pid}`), OPTIONS)
  const worker = await startWorker(duplicate(fd), 'abstract')
  t.equal(await ask({ path: `\0remora-${process.pid}` }), 'abstract')
  await worker.terminate()
  closeSocket(fd)
})

t.test("errors are in Envoy's words", { skip }, async t => {
  const port = await allocatePort()
  const single = { ...OPTIONS, reusePort: false }
  const fd = openListenSocket(ipAddress('127.0.0.1', port), single)
  startListening(fd, 1)
  t.throws(() => openListenSocket(ipAddress('127.0.0.1', port), single), {
    message: `cannot bind '127.0.0.1:${port}': Address already in use`,
    code: 'EADDRINUSE',
  })
  closeSocket(fd)
  t.throws(() => openListenSocket(ipAddress('192.0.2.99', port), single), {
    message: `cannot bind '192.0.2.99:${port}': Cannot assign requested address`,
  })
  t.throws(() => openListenSocket(pipeAddress('/nonexistent/x.sock'), single), {
    message: "cannot bind '/nonexistent/x.sock': No such file or directory",
  })
  t.throws(() => openListenSocket(pipeAddress(`/${'x'.repeat(200)}`), single), /too long/)
})

t.test('what waits in the queue of the last descriptor is served before it closes', { skip }, async t => {
  const port = await allocatePort()
  const fd = openListenSocket(ipAddress('127.0.0.1', port), { ...OPTIONS, reusePort: false })
  startListening(fd, 8)
  // The kernel accepts for itself: nobody has asked it for a connection yet.
  const clients = Array.from({ length: 3 }, () => net.connect(port, '127.0.0.1'))
  await Promise.all(clients.map(client => once(client, 'connect')))
  const loop = new SocketLoop(new TimerWheel())
  const acceptor = new Acceptor(loop, {
    onAccept: accepted =>
      accept(loop, accepted, { onData: (c, _, end) => end && c.close(CloseHow.NoFlush), onClose() {} }, 0)?.write(
        'served',
      ),
    onAcceptError() {},
  })
  acceptor.listen(fd, 8)
  acceptor.close(true)
  const answers = clients.map(async client => String((await once(client, 'data'))[0]))
  t.same(await Promise.all(answers), ['served', 'served', 'served'])
  for (const client of clients) client.destroy()
})

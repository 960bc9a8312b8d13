import { existsSync, rmSync, statSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { ipAddress, pipeAddress } from '../../../src/io/address.ts'
import {
  canMakeSockets,
  closeSocket,
  duplicate,
  type ListenSocketOptions,
  openListenSocket,
  startListening,
} from '../../../src/io/listen-socket.ts'

const skip = canMakeSockets() ? false : 'needs Linux'
const OPTIONS: ListenSocketOptions = {
  reusePort: true,
  ipv4Compat: false,
  transparent: false,
  freebind: false,
  fastOpen: 0,
  mode: 0,
  options: [],
}

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
  const address = ipAddress('127.0.0.1', 24001)
  const fds = [openListenSocket(address, OPTIONS), openListenSocket(address, OPTIONS)]
  const workers = [await startWorker(duplicate(fds[0]!), 'w0'), await startWorker(duplicate(fds[1]!), 'w1')]
  const seen = new Set<string>()
  for (let i = 0; i < 200 && seen.size < 2; i++) seen.add(await ask({ host: '127.0.0.1', port: 24001 }))
  t.same([...seen].sort(), ['w0', 'w1'])
  for (const worker of workers) await worker.terminate()
  for (const fd of fds) closeSocket(fd)
})

t.test('the queue of a worker that died is served by its replacement', { skip }, async t => {
  const fd = openListenSocket(ipAddress('127.0.0.1', 24002), OPTIONS)
  startListening(fd, 64)
  const first = await startWorker(duplicate(fd), 'first')
  t.equal(await ask({ host: '127.0.0.1', port: 24002 }), 'first')
  await first.terminate()
  const waiting = ask({ host: '127.0.0.1', port: 24002 })
  const second = await startWorker(duplicate(fd), 'second')
  t.equal(await waiting, 'second')
  await second.terminate()
  closeSocket(fd)
})

t.test('IPv6 and dual stack', { skip }, async t => {
  const fd = openListenSocket(ipAddress('::', 24003), { ...OPTIONS, ipv4Compat: true })
  const worker = await startWorker(duplicate(fd), 'dual')
  t.equal(await ask({ host: '127.0.0.1', port: 24003 }), 'dual')
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
  const single = { ...OPTIONS, reusePort: false }
  const fd = openListenSocket(ipAddress('127.0.0.1', 24004), single)
  startListening(fd, 1)
  t.throws(() => openListenSocket(ipAddress('127.0.0.1', 24004), single), {
    message: "cannot bind '127.0.0.1:24004': Address already in use",
    code: 'EADDRINUSE',
  })
  closeSocket(fd)
  t.throws(() => openListenSocket(ipAddress('192.0.2.99', 24004), single), {
    message: "cannot bind '192.0.2.99:24004': Cannot assign requested address",
  })
  t.throws(() => openListenSocket(pipeAddress('/nonexistent/x.sock'), single), {
    message: "cannot bind '/nonexistent/x.sock': No such file or directory",
  })
  t.throws(() => openListenSocket(pipeAddress(`/${'x'.repeat(200)}`), single), /too long/)
})

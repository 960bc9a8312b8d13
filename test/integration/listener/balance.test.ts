import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'

/** How connections spread over worker threads, in the product as a whole. */
const skip = process.platform === 'linux' ? false : 'needs Linux'
const TYPE = 'type.googleapis.com/envoy.extensions.filters.network'
const ECHO = { name: 'echo', typed_config: { '@type': `${TYPE}.echo.v3.Echo` } }
const LIMIT = {
  name: 'limit',
  typed_config: { '@type': `${TYPE}.connection_limit.v3.ConnectionLimit`, stat_prefix: 'cl', max_connections: 10 },
}
const WORKERS = 3

interface Proxy {
  readonly port: number
  /** Ends a worker thread, by its number among all that ever were. */
  kill(nth: number): void
  stats(pattern: RegExp): Promise<number[]>
}

async function start(
  t: { teardown(fn: () => Promise<void>): void },
  listener: object,
  filters: readonly object[],
  more: object = {},
): Promise<Proxy> {
  const [admin, port] = [await allocatePort(), await allocatePort()]
  const folder = mkdtempSync(join(tmpdir(), 'remora-balance-'))
  const file = join(folder, 'envoy.json')
  const address = (value: number): object => ({ socket_address: { address: '127.0.0.1', port_value: value } })
  const one = { name: 'l', stat_prefix: 'l', address: address(port), filter_chains: [{ filters }], ...listener }
  writeFileSync(
    file,
    JSON.stringify({ admin: { address: address(admin) }, static_resources: { listeners: [one] }, ...more }),
  )
  const program = fileURLToPath(new URL('../server/mortal-proxy.ts', import.meta.url))
  const flags = ['-c', file, '--concurrency', String(WORKERS), '--disable-hot-restart', '-l', 'off']
  const child: ChildProcess = fork(program, flags, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  t.teardown(async () => {
    child.kill()
    await once(child, 'exit')
    rmSync(folder, { recursive: true })
  })
  const read = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${admin}${path}`)).text()
  await until(async () => (await read('/ready')) === 'LIVE\n')
  return {
    port,
    kill: nth => void child.send(nth),
    async stats(pattern) {
      const lines = (await read('/stats')).split('\n').filter(line => pattern.test(line))
      return lines.map(line => Number(line.slice(line.lastIndexOf(' '))))
    },
  }
}

/** A connection that sent something at once; `answer`: what came back, '' when it was closed instead. */
function dial(port: number): { socket: net.Socket; answer: Promise<string> } {
  const socket = net.connect(port, '127.0.0.1', () => socket.write('hello'))
  const answer = new Promise<string>(resolve => {
    socket.once('data', d => resolve(d.toString()))
    socket.once('close', () => resolve(''))
  })
  socket.on('error', () => {})
  return { socket, answer }
}

const ACTIVE = /^listener\.l\.worker_\d\.downstream_cx_active/
const TOTAL = /^listener\.l\.worker_\d\.downstream_cx_total/
/** Numbers as soon as they are these; workers count for themselves. */
function shown(read: () => Promise<number[]>, wanted: readonly number[]): Promise<number[]> {
  const sorted = async (): Promise<number[]> => (await read()).sort((a, b) => a - b)
  return settled(sorted, numbers => String(numbers) === String(wanted))
}

const EXACT = { connection_balance_config: { exact_balance: {} } }

t.test('exact_balance: every connection goes to the worker that has the fewest', { skip }, async t => {
  // One socket for all workers: whoever wakes first takes what is there.
  const proxy = await start(t, { ...EXACT, enable_reuse_port: false }, [ECHO])
  const open = Array.from({ length: 31 }, () => dial(proxy.port))
  t.same(new Set(await Promise.all(open.map(c => c.answer))), new Set(['hello']), 'what was sent meanwhile is not lost')
  t.same(await shown(() => proxy.stats(ACTIVE), [10, 10, 11]), [10, 10, 11])
  for (const { socket } of open.splice(0, 16)) socket.destroy()
  await until(async () => sum(await proxy.stats(ACTIVE)) === 15)
  for (let i = 0; i < 9; i++) {
    const one = dial(proxy.port)
    open.push(one)
    await one.answer
  }
  t.same(await shown(() => proxy.stats(ACTIVE), [8, 8, 8]), [8, 8, 8], 'whatever was closed, the next ones level it')
  t.same(await shown(async () => [sum(await proxy.stats(TOTAL))], [40]), [40], 'each is counted once')
  for (const { socket } of open) socket.destroy()
})

t.test(
  'exact_balance: a worker that dies takes its connections along, and its replacement has its share',
  { skip },
  async t => {
    const proxy = await start(t, EXACT, [ECHO])
    const open = Array.from({ length: 12 }, () => dial(proxy.port))
    await Promise.all(open.map(c => c.answer))
    t.same(await shown(() => proxy.stats(ACTIVE), [4, 4, 4]), [4, 4, 4])
    proxy.kill(0)
    await until(async () => open.filter(c => c.socket.destroyed).length === 4)
    t.same(open.filter(c => !c.socket.destroyed).length, 8)
    // The kernel still queues for the socket of the dead worker: its replacement takes them.
    const more = Array.from({ length: 7 }, () => dial(proxy.port))
    t.same(new Set(await Promise.all(more.map(c => c.answer))), new Set(['hello']))
    // Until it was there, the others shared what they got; from then on it is levelled.
    await until(async () => {
      const one = dial(proxy.port)
      more.push(one)
      t.equal(await one.answer, 'hello')
      const shares = await proxy.stats(ACTIVE)
      return Math.max(...shares) - Math.min(...shares) <= 1
    })
    const all = 8 + more.length
    t.same(await shown(async () => [sum(await proxy.stats(ACTIVE))], [all]), [all])
    for (const { socket } of [...open, ...more]) socket.destroy()
  },
)

t.test('connection_limit counts over all workers', { skip }, async t => {
  const proxy = await start(t, {}, [LIMIT, ECHO])
  const answers = async (connections: readonly { answer: Promise<string> }[]): Promise<number> =>
    (await Promise.all(connections.map(c => c.answer))).filter(answer => answer === 'hello').length
  const open = Array.from({ length: 25 }, () => dial(proxy.port))
  t.equal(await answers(open), 10)
  t.same(await shown(() => proxy.stats(/^connection_limit\.cl\.limited_connections/), [15]), [15])
  for (const { socket } of open) socket.destroy()
  await until(async () => (await proxy.stats(/^connection_limit\.cl\.active_connections/))[0] === 0)
  const again = Array.from({ length: 12 }, () => dial(proxy.port))
  t.equal(await answers(again), 10)
  for (const { socket } of again) socket.destroy()
})

const RATE = {
  name: 'rate',
  typed_config: {
    '@type': `${TYPE}.local_ratelimit.v3.LocalRateLimit`,
    stat_prefix: 'rl',
    token_bucket: { max_tokens: 10, fill_interval: '3600s' },
  },
}

t.test('local_ratelimit takes from one bucket for all workers', { skip }, async t => {
  const proxy = await start(t, EXACT, [RATE, ECHO])
  const open = Array.from({ length: 25 }, () => dial(proxy.port))
  t.equal((await Promise.all(open.map(c => c.answer))).filter(answer => answer === 'hello').length, 10)
  t.same(await shown(() => proxy.stats(/^local_rate_limit\.rl\.rate_limited/), [15]), [15])
  for (const { socket } of open) socket.destroy()
})

const MONITOR = {
  name: 'envoy.resource_monitors.global_downstream_max_connections',
  typed_config: {
    '@type':
      'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
    max_active_downstream_connections: 9,
  },
}

t.test('the limit of the process holds over all workers, and what a dead one had is given back', { skip }, async t => {
  // With exact_balance, so that connections are counted by other workers than those that accepted them.
  const proxy = await start(t, EXACT, [ECHO], { overload_manager: { resource_monitors: [MONITOR] } })
  const answers = async (connections: readonly { answer: Promise<string> }[]): Promise<number> =>
    (await Promise.all(connections.map(c => c.answer))).filter(answer => answer === 'hello').length
  const open = Array.from({ length: 20 }, () => dial(proxy.port))
  t.equal(await answers(open), 9)
  const held = open.filter(c => !c.socket.destroyed).length
  t.same(await shown(() => proxy.stats(ACTIVE), [3, 3, 3]), [3, 3, 3])
  const left = held - 3
  proxy.kill(0)
  await until(async () => open.filter(c => !c.socket.destroyed).length === left)
  // What the dead one held is given back when main has heard of its end.
  let gained = 0
  await until(async () => {
    gained += await answers(Array.from({ length: 3 }, () => dial(proxy.port)))
    return gained >= 9 - left
  })
  gained += await answers(Array.from({ length: 12 }, () => dial(proxy.port)))
  t.equal(gained, 9 - left)
})

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

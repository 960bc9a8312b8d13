import { existsSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { settled, until } from '../../harness/until.ts'
import { Collector, MAX_REQUESTS, type Manner, PATHS, telling } from './collectors.ts'
import { RunningProxy } from './running-proxy.ts'

const MIB = 1024 * 1024
/** 46 MiB of paths alone for each of three collectors (kept, they are 137 to 206 MiB in all): what waits must stay far below. */
const REQUESTS = 6000
const LONG = `/${'x'.repeat(8000)}`
const ROOM = 64 * MIB

// Thousands of requests, on a machine that may be busy.
t.setTimeout(240_000)

async function start(
  t: Test,
  manner: Manner,
  more: { flush?: string; flags?: string[]; command?: string } = {},
): Promise<[RunningProxy, Collector, string]> {
  const collector = await Collector.start(manner)
  const file = join(t.testdir(), 'access.log')
  const { flush = '0.1s', ...rest } = more
  const bootstrap = (port: number, admin: number) => telling(port, admin, collector.port, file, flush)
  const proxy = await RunningProxy.start({ upstream: 0, bootstrap, ...rest })
  t.teardown(async () => {
    await proxy.stop()
    collector.stop()
  })
  return [proxy, collector, file]
}

/** Sends so many, eight at a time: how many of each status came. */
async function send(proxy: RunningProxy, count: number, path: string): Promise<Record<string, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ port: proxy.port, host: '127.0.0.1', path, agent }, incoming => {
        incoming.resume().on('end', () => resolve(incoming.statusCode!))
      })
      outgoing.on('error', reject).end()
    })
  const seen: Record<string, number> = {}
  let left = count
  const client = async (): Promise<void> => {
    while (left-- > 0) {
      const status = await ask()
      seen[status] = (seen[status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, client))
  agent.destroy()
  return seen
}

t.test('a collector that is well hears of every request', async t => {
  const [proxy, collector] = await start(t, 'good')
  t.same(await send(proxy, 50, LONG), { 200: 50 })
  for (const path of Object.values(PATHS)) {
    // Spans leave five at a time.
    await until(() => (collector.bytes.get(path) ?? 0) > 40 * LONG.length, path)
  }
})

const DROPS = {
  otlp: 'access_logs.open_telemetry_access_log.logs_dropped',
  als: 'access_logs.grpc_access_log.logs_dropped',
  zipkin: 'tracing.zipkin.reports_dropped',
} as const
for (const [manner, counted] of [
  // A stream of ALS has no answers: who takes them takes them all.
  ['silent', ['otlp', 'zipkin']],
  ['deaf', ['otlp', 'zipkin', 'als']],
  // Messages of a stream that breaks are gone, and nobody knows which.
  ['resets', ['otlp', 'zipkin']],
] as const) {
  t.test(`collectors that are ${manner}: traffic goes on, memory is bounded, what is dropped is counted`, async t => {
    const [proxy, collector] = await start(t, manner)
    t.same(await send(proxy, REQUESTS / 4, LONG), { 200: REQUESTS / 4 })
    const before = proxy.memory()
    t.same(await send(proxy, REQUESTS, LONG), { 200: REQUESTS })
    const grown = proxy.memory() - before
    t.ok(grown < ROOM, `${(grown / MIB).toFixed(0)} MiB more than before`)
    t.ok(collector.connections >= 3, 'each had a connection')
    for (const name of counted) {
      const dropped = await settled(
        () => proxy.stat(DROPS[name]),
        value => value > 0,
      )
      t.ok(dropped > 0, `${name}: ${dropped} dropped`)
    }
    for (const name of ['als', 'otlp', 'zipkin'])
      t.ok((await proxy.stat(`cluster.${name}.upstream_rq_active`)) <= MAX_REQUESTS, `${name}: requests under way`)
  })
}

const oracle = process.env['ENVOY_BINARY']
for (const [name, command] of [
  ['Remora', undefined],
  ...(oracle === undefined ? [] : [['the real Envoy', oracle]]),
] as const) {
  t.test(`SIGTERM, ${name}: what waits for the file is written; for collectors it is lost, as are spans`, async t => {
    const flags = ['--file-flush-interval-msec', '60000']
    const [proxy, collector, file] = await start(t, 'good', {
      flush: '60s',
      flags,
      ...(command === undefined ? {} : { command }),
    })
    // Fewer than five, and small: spans and records wait, too.
    t.same(await send(proxy, 3, '/'), { 200: 3 })
    proxy.signal('SIGTERM')
    t.equal(await proxy.exited, 0)
    t.equal(existsSync(file) ? readFileSync(file, 'utf8') : '', '200\n200\n200\n')
    t.same([...collector.bytes.keys()], [])
  })
}

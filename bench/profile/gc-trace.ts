/**
 * The collections of a worker under constant load, as V8 tells them: `node bench/profile/gc-trace.ts [--rate 5000] [--seconds 20]`.
 * The configuration is that of the latency case, the load its generator. Start and warming up do not count.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { proxyFlags } from '../../scripts/proxy-flags.ts'
import { HTTP1 } from '../load/configurations/plain-http.ts'
import { runOpenLoop } from '../load/open-loop/command.ts'
import { packageRoot } from '../load/place.ts'

const { values } = parseArgs({
  options: { rate: { type: 'string', default: '5000' }, seconds: { type: 'string', default: '20' } },
})
const WARM_UP = 5
/** `[pid:isolate] N ms: Scavenge … 0.62 / 0.00 ms …`; a full one may be "Incremental Mark-Compact". */
const LINE = /^\[\d+:(\w+)\]\s+\d+ ms: ([A-Z][A-Za-z- ]+?) (?:\(|\d).*?, ([\d.]+) \/ [\d.]+ ms/

const upstream = createServer((_, response) => response.end('hello from upstream\n')).listen(0, '127.0.0.1')
await new Promise(resolve => upstream.once('listening', resolve))
const { port: http1 } = upstream.address() as AddressInfo
const [listen, admin] = [http1 + 1, http1 + 2]
const folder = mkdtempSync(join(tmpdir(), 'remora-gc-'))
const file = join(folder, 'envoy.yaml')
const none = { http2: 1, mutualTls: 1, stub: 1, hold: 1, grpc: 1, tcp: 1, xds: 1, xdsControl: 1 }
const log = join(folder, 'access.log')
writeFileSync(
  file,
  HTTP1.envoy({ listen, admin, log, folder, workers: 1, upstreams: { http1, ...none }, certificates: null }),
)
const flags = ['--disable-warning=ExperimentalWarning', ...proxyFlags(), '--trace-gc']
const argv = [...flags, join(packageRoot, 'src/cmd/envoy.ts'), '-c', file, '--concurrency', '1', '-l', 'error']
const proxy = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
let trace = ''
proxy.stdout.setEncoding('utf8').on('data', text => {
  trace += text
})
try {
  while ((await fetch(`http://127.0.0.1:${admin}/ready`).catch(() => null))?.status !== 200) {
    if (proxy.exitCode !== null) throw new Error('the proxy has ended')
    await sleep(50)
  }
  const load = ['--url', `http://127.0.0.1:${listen}/`, '--rate', values.rate, '--pacing', 'wake', '--warmup', '0']
  await runOpenLoop([...load, '--seconds', String(WARM_UP)])
  trace = ''
  const { answered, latency } = await runOpenLoop([...load, '--seconds', values.seconds])
  show(trace.split('\n'), answered)
  const at = (wanted: number) => latency.percentiles.find(p => p.percentile === wanted)?.micros.toFixed(0)
  console.log(`latency: p50 ${at(50)} us, p99 ${at(99)} us, p99.9 ${at(99.9)} us`)
} finally {
  proxy.kill('SIGTERM')
  upstream.close()
  upstream.closeAllConnections()
  rmSync(folder, { recursive: true, force: true })
}

/** The isolate with most collections is the worker. */
function show(lines: readonly string[], requests: number): void {
  const isolates = Map.groupBy(
    lines.map(line => LINE.exec(line)).filter(match => match !== null),
    match => match[1],
  )
  const worker = [...isolates.values()].sort((a, b) => b.length - a.length)[0] ?? []
  console.log(`${requests} requests; collections of the worker:`)
  for (const [kind, found] of Map.groupBy(worker, match => match[2]!)) {
    const times = found.map(match => Number(match[3])).sort((a, b) => a - b)
    const total = times.reduce((sum, ms) => sum + ms, 0)
    console.log(
      `${kind.padEnd(24)} ${times.length}, ${((times.length * 1000) / requests).toFixed(3)} per 1,000 requests; ` +
        `ms: ${total.toFixed(1)} in all, ${((total * 1000) / requests).toFixed(3)} per 1,000 requests, ` +
        `median ${times[times.length >> 1]!.toFixed(2)}, longest ${times.at(-1)!.toFixed(2)}`,
    )
  }
}

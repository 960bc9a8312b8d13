import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { TraceLoad } from '../../../bench/compare/load.ts'
import { measurementText } from '../../../bench/compare/text.ts'
import type { Plan } from '../../../bench/load/case.ts'
import { parseOptions } from '../../../bench/load/options.ts'
import { caseTable } from '../../../bench/load/output/table.ts'
import { EnvoyPeer } from '../../../bench/load/peers/envoy.ts'
import { NOT_PINNED } from '../../../bench/load/pinning.ts'
import type { Child } from '../../../bench/load/processes/child.ts'
import type { PeerId } from '../../../bench/load/result.ts'
import { runOnTargets } from '../../../bench/load/runner/run-case.ts'
import type { Target } from '../../../bench/load/target.ts'
import { checkRequests, userCase } from '../../../bench/load/user/case.ts'

const WHY = 'remora did not answer under load as it does when asked alone'
const hasWrk = spawnSync('sh', ['-c', 'command -v wrk']).status === 0
const folder = t.testdir()
const requests = [
  { method: 'GET', host: 'a.test', path: '/', headers: {}, body: '' },
  { method: 'GET', host: 'a.test', path: '/missing', headers: {}, body: '' },
]

/** Does some work for each request; with a `limit`, as a circuit breaker does, for no more than so many at once. */
class Work {
  total = 0
  private running = 0
  private readonly limit: number

  constructor(limit: number) {
    this.limit = limit
  }

  take(path: string | undefined, answer: (status: number) => void): void {
    this.total++
    if (this.running >= this.limit) {
      answer(503)
      return
    }
    this.running++
    setTimeout(() => {
      this.running--
      answer(path === '/missing' ? 404 : 200)
    }, 2)
  }
}

async function portOf(t: Test, server: Server | ReturnType<typeof createHttp2>): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

async function target(
  t: Test,
  id: PeerId,
  work: Work,
  server: Server | ReturnType<typeof createHttp2>,
): Promise<Target> {
  const stats = createServer((_, response) => response.end(`http.own.downstream_rq_total: ${work.total}\n`))
  const upstreams = { http1: 1, http2: 1, mutualTls: 1, stub: 1, hold: 1, grpc: 1, tcp: 1, xds: 1, xdsControl: 1 }
  const [listen, admin] = [await portOf(t, server), await portOf(t, stats)]
  const { configuration } = own()
  return {
    peer: new EnvoyPeer(id as 'envoy' | 'remora', id, '1', 'none'),
    configuration: { ...configuration, checks: { ...configuration.checks, kind: 'ready', log: false } },
    sites: { listen, admin, log: join(folder, 'log'), folder, workers: 1, upstreams, certificates: null },
    process: { pid: process.pid, ended: null } as Child,
    readySeconds: 0,
    readyCpuSeconds: 0,
    readyMemory: { rssBytes: 0, pssBytes: 0, anonBytes: 0 },
  }
}

function own(): ReturnType<typeof userCase> {
  const [config, urls] = [join(folder, 'envoy.yaml'), join(folder, 'urls')]
  writeFileSync(
    config,
    `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
static_resources: {listeners: [{address: {socket_address: {address: 127.0.0.1, port_value: 2}}}]}
`,
  )
  writeFileSync(urls, requests.map(({ host, path }) => `http://${host}${path}\n`).join(''))
  return userCase(parseOptions(['--config', config, '--urls', urls], {})!)
}

function plan(): Plan {
  return { profile: 'smoke', rounds: 1, seconds: 1, pinning: NOT_PINNED, notes: [], folder }
}

t.test('a proxy that sheds load gets no ratio, and a note says why', { skip: !hasWrk && 'no wrk' }, async t => {
  const targets: Target[] = []
  for (const [id, limit] of [
    ['envoy', 1000],
    ['remora', 1],
  ] as const) {
    const work = new Work(limit)
    const server = createServer((request, response) =>
      work.take(request.url, status => response.writeHead(status).end()),
    )
    targets.push(await target(t, id, work, server))
  }
  const one = own()
  const checks = new Map(
    await Promise.all(targets.map(async each => [each, await one.configuration.ownChecks!(each)] as const)),
  )
  t.same(
    [...checks.values()].flat().filter(({ passed }) => !passed),
    [],
    'asked alone both answer alike',
  )
  const result = await runOnTargets(one, plan(), targets, checks, () => {})
  const [envoy, remora] = result.summaries
  t.equal(envoy?.errors, 0, 'a request of two is refused by right')
  t.ok((remora?.errors ?? 0) > 0)
  t.match(result.ratios, [{ of: 'remora', to: 'envoy', conclusive: false, why: WHY }])
  const note =
    /remora: [\d,]+ of [\d,]+ answers were refusals \(status above 399\), [\d,]+ were expected: .*rate limit\?\)/
  t.match(result.notes.join('\n'), note)
  t.match(caseTable(result), `no ratio: ${WHY}`)
  t.notMatch(caseTable(result), '×')
  t.match(measurementText(result), `: open, ${WHY}`)
  t.match(measurementText(result), note)
})

t.test('the same over HTTP/2, by each status', async t => {
  for (const [limit, unlike] of [
    [1000, undefined],
    [1, /^[\d,]+ of [\d,]+ answers had status 503, 0 were expected: /],
  ] as const) {
    const work = new Work(limit)
    const server = createHttp2()
    server.on('request', ({ url }, response) => work.take(url, status => response.writeHead(status).end()))
    const each = await target(t, 'remora', work, server)
    const how = { http2: true, tls: false, serverName: '', client: null }
    const load = new TraceLoad(requests, how)
    t.ok((await checkRequests(each, load.requests, load.expected, how)).every(({ passed }) => passed))
    const sample = await load.saturate(each, plan())
    t.ok(sample.count > 100, `${sample.count}`)
    if (unlike === undefined) t.match([sample.unlike, sample.errors], [undefined, 0])
    else t.match(sample, { unlike })
  }
})

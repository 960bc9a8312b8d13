import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkHttp } from '../../../bench/load/checks/http.ts'
import { HTTP_PLAN } from '../../../bench/load/checks/plan.ts'
import { HTTP1 } from '../../../bench/load/configurations/plain-http.ts'
import { EnvoyPeer } from '../../../bench/load/peers/envoy.ts'
import type { Child } from '../../../bench/load/processes/child.ts'
import { openLedger, settleLedger } from '../../../bench/load/runner/accounting.ts'
import type { Target } from '../../../bench/load/target.ts'

async function serve(t: Test, listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A proxy that answers as `listener` does and says of itself what `stats` returns. */
async function fake(t: Test, listener: RequestListener, stats: () => string): Promise<Target> {
  const upstreams = { http1: 1, http2: 1, mutualTls: 1, stub: 1, hold: 1, grpc: 1, tcp: 1, xds: 1, xdsControl: 1 }
  const folder = t.testdir()
  const sites = {
    listen: await serve(t, listener),
    admin: await serve(t, (_, response) => response.end(stats())),
    log: join(folder, 'access.log'),
    folder,
    workers: 1,
    upstreams,
    certificates: null,
  }
  const checks = { ...HTTP_PLAN, logWaitSeconds: 0, stallSeconds: 0.1 }
  return {
    peer: new EnvoyPeer('remora', 'fake', '1', 'none'),
    configuration: { ...HTTP1, checks },
    sites,
    process: { pid: process.pid } as Child,
    readySeconds: 0,
    readyCpuSeconds: 0,
    readyMemory: { rssBytes: 0, pssBytes: 0, anonBytes: 0 },
  }
}

t.test('something that only answers fast fails everything that makes it a proxy', async t => {
  const target = await fake(
    t,
    (_, response) => response.end('hello from nowhere'),
    () => 'http.ingress.downstream_rq_2xx: 5\n',
  )
  const checks = await checkHttp(target, 'full')
  const failed = checks.filter(check => !check.passed).map(check => check.name)
  t.same(failed, [
    'x-envoy-upstream-service-time',
    'server header',
    'request id reaches the upstream',
    'x-forwarded-proto reaches the upstream',
    'x-envoy-attempt-count reaches the upstream',
    'x-envoy-expected-rq-timeout-ms reaches the upstream',
    'route timeout is armed',
    'stats moved',
    'access log line',
  ])
})

t.test('nothing is asked of something that does not answer', async t => {
  const target = await fake(
    t,
    (_, response) => response.writeHead(503).end(),
    () => '',
  )
  t.same(
    (await checkHttp(target, 'full')).map(({ name, passed }) => [name, passed]),
    [['answers', false]],
  )
})

t.test('answers of the load that are neither counted nor logged fail the case', async t => {
  let counted = 100
  const target = await fake(
    t,
    (_, response) => response.end(),
    () => `http.ingress.downstream_rq_2xx: ${counted}\n`,
  )
  const ledger = await openLedger(target)
  counted = 150
  writeFileSync(target.sites.log, 'line\n'.repeat(50))
  t.same(
    (await settleLedger(target, ledger, 50)).map(check => check.passed),
    [true, true],
  )
  const again = await openLedger(target)
  counted = 160
  writeFileSync(target.sites.log, 'line\n'.repeat(49))
  const [stats, log] = await settleLedger(target, again, 50)
  t.match(stats, { passed: false, detail: 'http.ingress.downstream_rq_2xx grew by 10, the load had 50 answers' })
  t.match(log, { passed: false, detail: '49 lines, the load had 50 answers' })
})

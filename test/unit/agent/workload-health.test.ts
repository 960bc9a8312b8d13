import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { configureLog } from '../../../src/agent/log.ts'
import type { NodeIdentity } from '../../../src/agent/node-identity.ts'
import { Readiness } from '../../../src/agent/readiness.ts'
import { WorkloadHealthChecker } from '../../../src/agent/workload-health.ts'

configureLog({ write: () => {} })

const READY =
  'cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\nserver.state: 0\nlistener_manager.workers_started: 1\n'
const node = { addresses: ['127.0.0.1'] } as unknown as NodeIdentity

function around(stats = READY): Parameters<typeof WorkloadHealthChecker.from>[1] {
  return { env: {}, node, proxyReady: new Readiness(async () => stats) }
}

/** What is told, in order, until `count` changes came. */
function told(probe: object, count: number, stats?: string): Promise<string[]> {
  const checker = WorkloadHealthChecker.from({ periodSeconds: 0.005, ...probe }, around(stats))
  const seen: string[] = []
  return new Promise(resolve => {
    checker?.start(unhealthy => {
      seen.push(unhealthy)
      if (seen.length < count) return
      checker.close()
      resolve(seen)
    })
  })
}

t.test('only changes are told, after as many equal results as the thresholds say', async t => {
  const statuses = [200, 200, 500, 200, 500, 500, 302, 200, 200]
  const agents: (string | undefined)[] = []
  const server = createServer((request, response) => {
    agents.push(request.headers['user-agent'])
    response.writeHead(statuses.shift() ?? 200).end()
  })
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const httpGet = { port: (server.address() as AddressInfo).port, path: '/health' }
  const seen = await told({ httpGet, successThreshold: 2, failureThreshold: 2 }, 3)
  t.same(seen, ['', 'status code was not from [200,400), bad code 500', ''])
  t.same(statuses, [200], 'one failure in between is not told')
  t.equal(agents[0], 'istio-probe/1.0')
})

t.test('a closed port, a command that fails or never ends, a proxy that is not ready: each says why', async t => {
  t.match(await told({ tcpSocket: { port: 1 } }, 1), [/ECONNREFUSED/])
  t.match(await told({ grpc: { port: 1 } }, 1), [/ECONNREFUSED/])
  t.match(await told({ exec: { command: ['false'] } }, 1), [/Command failed/])
  t.match(await told({ exec: { command: ['sleep', '60'] }, timeoutSeconds: 0.02 }, 1), [/command timeout exceeded/])
  t.match(await told({ exec: { command: ['true'] } }, 1), [''])
  t.match(await told({ exec: { command: ['true'] } }, 1, ''), [/config not received from XDS server/])
})

t.test('a probe that cannot be understood is refused', async t => {
  t.equal(WorkloadHealthChecker.from(undefined, around()), null)
  for (const bad of [
    {},
    { httpGet: { port: 1 }, tcpSocket: { port: 1 } },
    { grpc: { port: 0 } },
    { exec: { command: [] } },
  ]) {
    t.throws(() => WorkloadHealthChecker.from(bad, around()), /readinessProbe/)
  }
})

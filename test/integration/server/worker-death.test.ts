import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'
const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

/** So many clusters are packed while they are read: replacements get them from there. */
const MANY = Array.from({ length: 300 }, (_, i) => ({ name: `other-${i}`, type: 'STATIC', connect_timeout: '1s' }))

/** Requests to /slow are answered when the test says so. */
class Upstream {
  readonly server = http.createServer((request, response) => {
    if (request.url === '/slow') this.slow.push(response)
    else response.end('ok')
  })
  readonly slow: http.ServerResponse[] = []

  async listen(): Promise<number> {
    this.server.listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    return (this.server.address() as AddressInfo).port
  }
}

function get(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

async function stat(admin: number, name: string): Promise<number> {
  const { body } = await get(admin, `/stats?filter=^${name.replaceAll('.', '\\.')}$`)
  return Number(/: (\d+)/.exec(body)?.[1] ?? Number.NaN)
}

t.test('a worker that dies is replaced: others go on, counters stay, gauges are given back', async t => {
  const upstream = new Upstream()
  const target = await upstream.listen()
  const [admin, port] = [await allocatePort(), await allocatePort()]
  const file = join(t.testdir(), 'envoy.json')
  const hcm = {
    '@type': HCM,
    stat_prefix: 'in',
    route_config: {
      virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] }],
    },
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } }],
  }
  writeFileSync(
    file,
    JSON.stringify({
      admin: { address: socket(admin) },
      stats_flush_interval: '0.1s',
      static_resources: {
        listeners: [
          { name: 'l', address: socket(port), filter_chains: [{ filters: [{ name: 'h', typed_config: hcm }] }] },
        ],
        clusters: [
          {
            name: 'up',
            type: 'STATIC',
            circuit_breakers: { thresholds: [{ max_requests: 3, track_remaining: true }] },
            load_assignment: {
              cluster_name: 'up',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(target) } }] }],
            },
          },
          ...MANY,
        ],
      },
    }),
  )
  let log = ''
  const proxy: ChildProcess = fork(
    fileURLToPath(new URL('mortal-proxy.ts', import.meta.url)),
    ['-c', file, '--concurrency', '2', '--disable-hot-restart'],
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
  )
  proxy.stderr!.on('data', chunk => {
    log += String(chunk)
  })
  t.teardown(async () => {
    upstream.server.close()
    upstream.server.closeAllConnections()
    proxy.kill()
    await once(proxy, 'exit')
  })
  await until(async () => (await get(admin, '/ready')).body === 'LIVE\n', 'LIVE')

  // Three requests hang, which is all the cluster may have: whichever worker has them, the fourth is refused.
  let cut = 0
  let answered = 0
  const slow = [0, 1, 2].map(() =>
    get(port, '/slow').then(
      () => answered++,
      () => cut++,
    ),
  )
  await until(async () => upstream.slow.length === 3, 'three requests upstream')
  t.equal((await get(port, '/')).status, 503, 'the circuit breaker is open')
  const counted = (name: string, wanted: number): Promise<number> =>
    settled(
      () => stat(admin, name),
      value => value === wanted,
    )
  const before = await counted('http.in.downstream_rq_total', 4)
  t.equal(before, 4)
  t.equal(await counted('cluster.up.upstream_rq_active', 3), 3)

  proxy.send(0)
  await until(async () => /worker 0 exited with code \d+; its connections are lost/.test(log), 'the log')
  await until(() => /a replacement starts in \d+ ms/.test(log), 'the rest of the line')
  const first = await stat(admin, 'http.in.downstream_rq_total')
  t.ok(first >= before, 'counters do not go backwards')

  // What the dead worker held is given back; what the other holds stays.
  await until(
    async () => cut === 3 - (await stat(admin, 'cluster.up.upstream_rq_active')),
    'the clients of the dead worker hear of it',
  )
  t.equal(await counted('cluster.up.circuit_breakers.default.remaining_rq', cut), cut)
  t.equal(await counted('http.in.downstream_rq_active', 3 - cut), 3 - cut)
  for (const response of upstream.slow) response.end('late')
  await Promise.all(slow)
  t.equal(answered + cut, 3)

  // The second worker goes, too: from now on all is served by replacements.
  proxy.send(1)
  await until(async () => log.includes('worker 1 exited'), 'the log')
  await until(async () => (await get(port, '/')).status === 200, 'it serves again')
  const statuses = new Set<number>()
  for (let i = 0; i < 40; i++) statuses.add((await get(port, '/')).status)
  t.same([...statuses], [200])
  await until(async () => (await stat(admin, 'cluster.up.upstream_rq_active')) === 0, 'nothing is held')
  t.equal(await counted('cluster.up.circuit_breakers.default.remaining_rq', 3), 3)
  await until(async () => (await stat(admin, 'http.in.downstream_rq_total')) >= first + 41, 'counters go on')
})

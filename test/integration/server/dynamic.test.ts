import { spawn } from 'node:child_process'
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { until } from '../../harness/until.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const TYPE = 'type.googleapis.com/envoy'
const directory = mkdtempSync(join(tmpdir(), 'remora-dynamic-'))
const ADMIN = await allocatePort()
const PORT = await allocatePort()

const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })
const file = (name: string) => ({ path_config_source: { path: join(directory, name) } })

/** By rename, as configuration managers do. */
function put(name: string, version: string, resources: object[]): void {
  const path = join(directory, name)
  writeFileSync(`${path}.tmp`, JSON.stringify({ version_info: version, resources }))
  renameSync(`${path}.tmp`, path)
}

const cluster = (name: string, port: number) => ({
  '@type': `${TYPE}.config.cluster.v3.Cluster`,
  name,
  type: 'STATIC',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(port) } }] }] },
})

const listener = (route: string) => ({
  '@type': `${TYPE}.config.listener.v3.Listener`,
  name: 'l',
  address: socket(PORT),
  filter_chains: [
    {
      filters: [
        {
          name: 'hcm',
          typed_config: {
            '@type': `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: 'dyn',
            rds: { route_config_name: route, config_source: file('rds.json') },
            http_filters: [
              { name: 'router', typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` } },
            ],
          },
        },
      ],
    },
  ],
})

const routes = (target: string) => ({
  '@type': `${TYPE}.config.route.v3.RouteConfiguration`,
  name: 'r',
  virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: target } }] }],
})

function get(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve(`${response.statusCode} ${body}`))
    })
    request.on('error', reject)
  })
}

const upstream = (name: string): Promise<http.Server> =>
  new Promise(resolve => {
    const server = http.createServer((_, response) => response.end(name))
    server.listen(0, '127.0.0.1', () => resolve(server))
  })

t.test('clusters, routes and listeners by file come, change and go while the proxy runs', async t => {
  const [a, b] = [await upstream('a'), await upstream('b')]
  t.teardown(() => {
    a.close()
    b.close()
  })
  const portOf = (server: http.Server): number => (server.address() as AddressInfo).port
  put('cds.json', '1', [cluster('a', portOf(a))])
  put('rds.json', '1', [routes('a')])
  put('lds.json', '1', [listener('r')])
  const bootstrap = join(directory, 'bootstrap.json')
  const dynamic = { cds_config: file('cds.json'), lds_config: file('lds.json') }
  const node = { id: 'n', cluster: 'c' }
  writeFileSync(bootstrap, JSON.stringify({ node, admin: { address: socket(ADMIN) }, dynamic_resources: dynamic }))
  const envoy = spawn(ENVOY, ['-c', bootstrap, '--concurrency', '2', '-l', 'off'], { stdio: 'ignore' })
  t.teardown(() => envoy.kill('SIGKILL'))
  const stats = (filter: string): Promise<string> => get(ADMIN, `/stats?filter=${filter}`)

  await until(async () => (await get(ADMIN, '/ready')).startsWith('200'))
  t.equal(await get(PORT, '/'), '200 a', 'LIVE means that the first request is answered')

  put('cds.json', '2', [cluster('a', portOf(a)), cluster('b', portOf(b))])
  await until(async () => (await stats('active_clusters')).includes('active_clusters: 2'))
  put('rds.json', '2', [routes('b')])
  await until(async () => (await get(PORT, '/')) === '200 b')

  put('cds.json', '3', [cluster('a', portOf(a)), cluster('b', portOf(b)), { ...cluster('bad', 1), type: 'EDS' }])
  await until(async () => (await stats('cds.update_rejected')).includes('update_rejected: 1'))
  t.equal(await get(PORT, '/'), '200 b', 'what was good stays')
  t.match(await stats('cds.version_text'), /version_text: "2"/)

  put('lds.json', '2', [])
  await until(async () => (await get(PORT, '/').catch((e: NodeJS.ErrnoException) => e.code ?? '')) === 'ECONNREFUSED')
  await until(async () => (await stats('listener_removed')).includes('listener_manager.listener_removed: 1'))
})

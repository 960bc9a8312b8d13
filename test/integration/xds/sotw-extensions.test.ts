import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled } from '../../harness/until.ts'
import { bootstrap } from './bootstrap.ts'
import { ScriptedControlPlane } from './control-plane.ts'
import { ads, staticCluster } from './resources.ts'
import { visit } from './visit.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const PREFIX = 'type.googleapis.com/envoy.extensions.filters'
const FAULT = `${PREFIX}.http.fault.v3.HTTPFault`

function run(t: Test, config: object): void {
  const file = join(t.testdir({}), 'bootstrap.json')
  writeFileSync(file, JSON.stringify(config))
  const child = spawn(ENVOY, ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'off'], {
    stdio: 'ignore',
  })
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
}

t.test('a discovered filter over ADS in the state of the world; what a response leaves out stays', async t => {
  const plane = new ScriptedControlPlane()
  t.teardown(() => plane.close())
  const port = await allocatePort()
  run(t, bootstrap({ port: await plane.listen('127.0.0.1:0') }, 0))
  const filter = { name: 'f', config_discovery: { config_source: ads, type_urls: [FAULT] } }
  const router = { name: 'router', typed_config: { '@type': `${PREFIX}.http.router.v3.Router` } }
  const virtual_hosts = [
    { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 204 } }] },
  ]
  const manager = {
    '@type': `${PREFIX}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    route_config: { name: 'r', virtual_hosts },
    http_filters: [filter, router],
  }
  const listener = {
    name: 'l',
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'hcm', typed_config: manager }] }],
  }
  const abort = (status: number): object => ({
    name: 'f',
    typed_config: { '@type': FAULT, abort: { http_status: status, percentage: { numerator: 100 } } },
  })
  await plane.requests(1)
  plane.send('CDS', 'c1', [])
  await plane.requests(3)
  plane.take()
  plane.send('LDS', 'l1', [listener])
  await plane.requests(2)
  t.match(plane.take(), [
    { type: 'ECDS', names: ['f'], version: '' },
    { type: 'LDS', version: 'l1' },
  ])
  plane.send('ECDS', 'e1', [abort(418)])
  await plane.requests(1)
  t.match(plane.take(), [{ type: 'ECDS', version: 'e1' }])
  const look = (): Promise<string> => visit({ port, tls: false })
  t.match(await settled(look, seen => seen === '418 fault filter abort'), /^418 /)
  plane.send('ECDS', 'e2', [])
  plane.send('ECDS', 'e3', [{ name: 'f', typed_config: { '@type': `${PREFIX}.http.cors.v3.Cors` } }])
  await plane.requests(2)
  t.match(plane.take(), [
    { type: 'ECDS', version: 'e2' },
    { type: 'ECDS', version: 'e2', error: /filter config has type URL .*Cors but expect .*HTTPFault/ },
  ])
  t.match(await settled(look, seen => seen !== 'silence'), /^418 /)
})

t.test("api_type DELTA_GRPC asks the type's own service, and names it in the first request only", async t => {
  const plane = new ScriptedControlPlane()
  t.teardown(() => plane.close())
  const admin = await allocatePort()
  const { dynamic_resources, ...rest } = bootstrap({ port: await plane.listen('127.0.0.1:0') }, admin) as {
    dynamic_resources: { ads_config: object }
  }
  const api_config_source = { ...dynamic_resources.ads_config, api_type: 'DELTA_GRPC' }
  run(t, { ...rest, dynamic_resources: { cds_config: { api_config_source } } })
  await plane.requests(1)
  t.match(plane.take(), [{ method: 'DeltaClusters', type: 'CDS', subscribe: [], node: 'test-node' }])
  plane.delta('CDS', 's1', [{ name: 'a', version: '1', message: staticCluster('a') }], [], 'DeltaClusters')
  await plane.requests(1)
  t.match(plane.take(), [{ method: 'DeltaClusters', nonce: '1' }])
  const stats = await (await fetch(`http://127.0.0.1:${admin}/stats?filter=cds.control_plane|cds.version_text`)).text()
  t.match(stats, 'cluster_manager.cds.control_plane.connected_state: 1\n')
  t.match(stats, 'cluster_manager.cds.control_plane.identifier: "scripted"\n')
  t.match(stats, 'cluster_manager.cds.version_text: "s1"\n')
})

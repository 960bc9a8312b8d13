import t from 'tap'
import { settled } from '../../harness/until.ts'
import { recorded, withoutDebugMarker } from '../../unit/admin/recorded.ts'
import { AdminSession } from './admin-session.ts'

/**
 * The admin interface of a running proxy, held against answers of the real Envoy to the same configuration. What differs between
 * any two runs (times, ports, the extensions built in) is left out here; test/parity compares more of it.
 */
const session = await AdminSession.start()
t.teardown(() => session.stop())

t.test('headers come in the order of the real Envoy', async t => {
  const names = recorded('listeners-json').headers.map(line => line.split(':')[0])
  const answer = await session.get('/listeners?format=json')
  t.same(answer.headerNames, names)
  t.equal(answer.header('content-type'), 'application/json')
  const refused = await session.get('/config_dump?resource=nope')
  t.same(
    refused.headerNames,
    recorded('config-dump-unknown').headers.map(line => line.split(':')[0]),
  )
})

t.test('/help is the list of the real Envoy', async t => {
  t.equal((await session.get('/help')).body, recorded('help').body)
})

t.test('/cpuprofiler writes a profile of V8 for main and for each worker', async t => {
  t.match(await session.send('POST', '/cpuprofiler?enable=y'), { status: 200, body: 'OK\n' })
  t.match(await session.send('POST', '/cpuprofiler?enable=n'), { status: 200, body: 'OK\n' })
  for (const name of ['envoy.prof', 'envoy.prof.worker0']) {
    const text = await settled(
      () => session.file(name),
      found => found.endsWith('}'),
    )
    const profile = JSON.parse(text) as { nodes: unknown[]; samples: unknown[]; startTime: number; endTime: number }
    t.ok(profile.nodes.length > 0 && profile.endTime >= profile.startTime, name)
  }
})

t.test('an unknown path is 404 with the help', async t => {
  for (const path of ['/nope', '/stats/', '/Stats', '/help/']) {
    const answer = await session.get(path)
    t.equal(answer.status, 404, path)
    t.equal(answer.body, `invalid path. ${recorded('help').body}`, path)
  }
  t.equal((await session.get('//ready')).body, 'LIVE\n')
})

t.test('what changes state wants POST, the rest takes any method', async t => {
  for (const path of [
    '/allocprofiler',
    '/cpuprofiler',
    '/drain_listeners',
    '/healthcheck/fail',
    '/healthcheck/ok',
    '/heapprofiler',
    '/logging',
    '/quitquitquit',
    '/reopen_logs',
    '/reset_counters',
    '/runtime_modify',
    '/stats/recentlookups/clear',
    '/stats/recentlookups/disable',
    '/stats/recentlookups/enable',
  ]) {
    t.match(await session.get(path), { status: 405, body: 'Method GET not allowed, POST required.' }, path)
  }
  t.match(await session.send('PUT', '/reset_counters'), { body: 'Method PUT not allowed, POST required.' })
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE']) {
    t.match(await session.send(method, '/ready'), { status: 200, body: 'LIVE\n' }, method)
  }
})

t.test('a method nobody knows and HTTP/1.0 are refused by the codec', async t => {
  const unknown = await session.send('FOO', '/ready')
  t.match(unknown, { status: 400, body: 'Bad Request' })
  t.same(unknown.headerNames, ['content-length', 'content-type', 'date', 'server', 'connection'])
  t.match(await session.raw('GET /ready HTTP/1.0\r\nHost: x\r\n\r\n'), { status: 426, body: 'Upgrade Required' })
  t.match(await session.raw('GET /ready HTTP/1.1\r\n\r\n'), { status: 400, body: '' })
})

t.test('/server_info has the fields of the real Envoy, all of them', async t => {
  const ours = JSON.parse((await session.get('/server_info')).body) as Record<string, Record<string, unknown>>
  const real = JSON.parse(recorded('server-info').body) as Record<string, Record<string, unknown>>
  t.same(Object.keys(ours), Object.keys(real))
  t.same(Object.keys(ours['command_line_options']!), Object.keys(real['command_line_options']!))
  t.same(Object.keys(ours['node']!), Object.keys(real['node']!))
  t.match(ours['version'], /^[0-9a-f]{40}\/1\.40\.0\/Clean\/RELEASE\/BoringSSL$/)
  t.equal(ours['state'], 'LIVE')
})

t.test('/runtime and /runtime_modify', async t => {
  const { body } = await session.get('/runtime')
  t.same(JSON.parse(withoutDebugMarker(body)), JSON.parse(withoutDebugMarker(recorded('runtime').body)))
  t.equal((await session.send('POST', '/runtime_modify?lab.some_key=99')).body, 'OK\n')
  t.match(JSON.parse((await session.get('/runtime')).body), { entries: { 'lab.some_key': { final_value: '99' } } })
  t.equal((await session.send('POST', '/runtime_modify?lab.some_key=')).body, 'OK\n')
})

t.test('/listeners shows the port the kernel chose', async t => {
  const { body } = await session.get('/listeners')
  const port = Number(/^main::127\.0\.0\.1:(\d+)$/m.exec(body)?.[1])
  t.ok(port > 0, body)
  t.equal((await session.get('/x', port)).status, 503)
})

t.test('/clusters: limits and hosts, and what a request counts', async t => {
  const page = async (): Promise<string> => (await session.get('/clusters?filter=^dead$')).body
  const body = await settled(page, text => /::cx_connect_fail::[1-9]/.test(text))
  t.match(body, 'dead::observability_name::dead\ndead::default_priority::max_connections::1024\n')
  t.match(body, /^dead::127\.0\.0\.1:1::cx_connect_fail::[1-9]/m)
  const { cluster_statuses: statuses } = JSON.parse((await session.get('/clusters?format=json')).body) as {
    cluster_statuses: { name: string }[]
  }
  t.same(statuses.map(s => s.name).sort(), ['dead', 'tls'])
})

t.test('/config_dump: the cluster as configured, keys redacted, node filled in', async t => {
  const dump = JSON.parse((await session.get('/config_dump?resource=static_clusters')).body) as {
    configs: Record<string, object>[]
  }
  t.match(dump.configs[0], {
    '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster',
    cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'dead', type: 'STATIC' },
    last_updated: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/,
  })
  const whole = await session.get('/config_dump?include_eds')
  t.notMatch(whole.body, 'server.key')
  t.match(whole.body, '"filename": "[redacted]"')
  t.match(JSON.parse(whole.body), {
    configs: [
      { bootstrap: { node: { id: 'test', user_agent_name: 'envoy', extensions: Array } } },
      { static_clusters: Array },
      { static_endpoint_configs: Array },
      { static_listeners: Array },
      {},
      { static_route_configs: [{ route_config: { name: 'local_route' } }] },
      { static_secrets: [{ name: 'server_cert' }] },
    ],
  })
})

t.test('/certs names the certificates in use', async t => {
  const { certificates } = JSON.parse((await session.get('/certs')).body) as {
    certificates: { ca_cert: object[]; cert_chain: Record<string, unknown>[] }[]
  }
  const chain = certificates.flatMap(c => c.cert_chain)
  const fields = recorded('certs').body
  t.equal(chain.length, 1)
  t.match(chain[0], { path: /server\.pem$/, valid_from: /Z$/ })
  for (const name of Object.keys(chain[0]!)) t.match(fields, `"${name}"`)
})

t.test('/healthcheck/fail drains, /healthcheck/ok takes it back', async t => {
  t.equal((await session.send('POST', '/healthcheck/fail')).body, 'OK\n')
  t.match(await session.get('/ready'), { status: 503, body: 'DRAINING\n' })
  t.equal((await session.get('/stats?filter=^server.live$')).body, 'server.live: 0\n')
  t.equal((await session.send('POST', '/healthcheck/ok')).body, 'OK\n')
  t.match(await session.get('/ready'), { status: 200, body: 'LIVE\n' })
})

t.test('the admin listener counts itself', async t => {
  const { body } = await session.get('/stats?filter=^(http|listener)\\.admin\\.')
  t.match(body, /^http\.admin\.downstream_cx_total: [1-9]/m)
  t.match(body, /^http\.admin\.downstream_rq_active: 1$/m)
  t.match(body, /^http\.admin\.downstream_rq_2xx: [1-9]/m)
  t.match(body, /^listener\.admin\.http\.admin\.downstream_rq_4xx: [1-9]/m)
  t.match(body, /^listener\.admin\.main_thread\.downstream_cx_total: [1-9]/m)
})

t.test('/reset_counters resets counters', async t => {
  await session.send('POST', '/reset_counters')
  t.match((await session.get('/stats?filter=^http.admin.downstream_rq_4xx$')).body, 'http.admin.downstream_rq_4xx: 0\n')
})

t.test('the access log has a line per request', async t => {
  await session.get('/ready?logged')
  t.equal((await session.send('POST', '/reopen_logs')).body, 'OK\n')
  const line = await session.logLine('/ready?logged')
  t.match(line, /^\[\d{4}-\S+Z\] "GET \/ready\?logged HTTP\/1\.1" 200 - 0 5 \d+ - "[\d.]+" "-" "-" "admin\.test" "-"$/)
})

t.test('/drain_listeners: connections are refused, /ready stays LIVE', async t => {
  const port = Number(/^main::127\.0\.0\.1:(\d+)$/m.exec((await session.get('/listeners')).body)?.[1])
  t.equal((await session.send('POST', '/drain_listeners')).body, 'OK\n')
  await session.refused(port)
  t.equal((await session.get('/ready')).body, 'LIVE\n')
  t.match((await session.get('/listeners')).body, `main::127.0.0.1:${port}\n`)
  const stopped = async (): Promise<string> => (await session.get('/stats?filter=listener_stopped')).body
  t.match(await settled(stopped, text => text.includes(': 1')), 'listener_manager.listener_stopped: 1\n')
})

t.test('/quitquitquit answers, then the process ends with 0', async t => {
  t.equal((await session.send('POST', '/quitquitquit')).body, 'OK\n')
  t.equal(await session.exitCode, 0)
})

import { createServer, type IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { ECHO, startMesh } from './mesh.ts'
import { accessLine, counted } from './observed.ts'
import { tcpEcho, tcpExchange } from './traffic.ts'
import { ask, exchange, Ztunnel } from './ztunnel.ts'

// Two pods with sidecars, and echo, which has none, in a mesh with ztunnels.
const mesh = await startMesh({
  pods: ['sleep', 'httpbin', 'echo'],
  ambient: ['echo'],
  pushes: { sleep: 'ambient-mesh-sleep', httpbin: 'ambient-mesh-httpbin' },
  env: { ISTIO_META_ENABLE_HBONE: 'true' },
})
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
/** Echo's own ztunnel, for both directions. */
const echo = new Ztunnel(mesh.pod('echo'), 'echo', mesh.authority)
echo.listen()
t.teardown(() => echo.close())

interface Echo {
  readonly app: string
  readonly headers: IncomingHttpHeaders
}

function application(app: string) {
  return createServer(({ headers }, response) => response.end(JSON.stringify({ app, headers } satisfies Echo)))
}
httpbin.serve(application('httpbin'), 8080)
mesh.pod('echo').serve(application('echo'), 8080)
for (const pod of [httpbin, mesh.pod('echo')]) pod.serve(tcpEcho(), 9000)

t.test('what comes out of a ztunnel is known by its address and identity', async t => {
  const answer = await ask(echo, httpbin.address, `${httpbin.address}:8080`, '/from-ztunnel', {
    headers: { host: 'httpbin.demo.svc.cluster.local:8000' },
  })
  t.equal(answer.status, 200)
  t.equal((JSON.parse(answer.body) as Echo).app, 'httpbin')
  const line = await accessLine(httpbin, /GET \/from-ztunnel /)
  t.match(
    line,
    /"10\.77\.0\.20:8080" inbound\|8080\|\| 127\.0\.0\.6:\S+ 10\.77\.0\.20:8080 10\.77\.0\.40:\S+ - default$/,
  )
  t.hasStrict(await counted(httpbin, 'istio_requests_total', { reporter: 'destination', source_workload: 'echo' }), {
    source_workload_namespace: 'demo',
    source_canonical_service: 'echo',
    source_canonical_revision: 'v1',
    source_app: 'echo',
    source_version: 'v1',
    source_cluster: 'Kubernetes',
    source_principal: 'spiffe://cluster.local/ns/demo/sa/echo',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/httpbin',
    connection_security_policy: 'mutual_tls',
  })
})

t.test('a connection out of a ztunnel, too', async t => {
  t.equal(await exchange(echo, httpbin.address, `${httpbin.address}:9000`, 'ping'), 'ping')
  const labels = { reporter: 'destination', source_workload: 'echo' }
  t.match(await counted(httpbin, 'istio_tcp_connections_closed_total', labels), {
    source_canonical_service: 'echo',
    source_principal: 'spiffe://cluster.local/ns/demo/sa/echo',
  })
})

t.test('a request to a pod with a ztunnel goes there by tunnel, and its end is known', async t => {
  const answer = await sleep.ask(ECHO, 8000, '/to-ztunnel', { headers: { host: 'echo.demo.svc.cluster.local:8000' } })
  t.equal(answer.status, 200)
  t.equal((JSON.parse(answer.body) as Echo).app, 'echo')
  t.match(echo.tunnels, [{ authority: '10.77.0.40:8080', identity: 'spiffe://cluster.local/ns/demo/sa/sleep' }])
  t.hasStrict(await counted(sleep, 'istio_requests_total', { reporter: 'source', destination_workload: 'echo' }), {
    destination_workload_namespace: 'demo',
    destination_canonical_service: 'echo',
    destination_canonical_revision: 'v1',
    destination_app: 'echo',
    destination_version: 'v1',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/echo',
    destination_service: 'echo.demo.svc.cluster.local',
    destination_cluster: 'Kubernetes',
  })
})

t.test('a connection to one, too', async t => {
  t.equal(await tcpExchange(sleep, ECHO, 9000, 'ping'), 'ping')
  const labels = { reporter: 'source', destination_workload: 'echo' }
  t.match(await counted(sleep, 'istio_tcp_connections_closed_total', labels), {
    destination_canonical_service: 'echo',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/echo',
  })
})

t.test('from sidecar to sidecar by tunnel', async t => {
  const headers = { host: 'httpbin-v1.demo.svc.cluster.local:8000' }
  const answer = await sleep.ask('10.96.0.21', 8000, '/between', { headers })
  t.equal(answer.status, 200)
  t.match(
    await accessLine(sleep, /GET \/between /),
    /"envoy:\/\/connect_originate\/10\.77\.0\.20:8080" outbound\|8000\|\|/,
  )
  await counted(httpbin, 'istio_requests_total', { reporter: 'destination', source_workload: 'sleep' })
  await counted(sleep, 'istio_requests_total', { reporter: 'source', destination_workload: 'httpbin' })
})

t.test('nothing of the pushes was refused', async t => {
  t.same(mesh.plane.rejected, [])
  t.ok(mesh.plane.asked.some(({ pod, type }) => pod === 'httpbin' && type === 'WDS'))
})

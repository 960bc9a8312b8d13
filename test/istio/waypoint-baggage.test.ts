import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import t from 'tap'
import { ECHO, HTTPBIN, startMesh, WAYPOINT } from './mesh.ts'
import { counted } from './observed.ts'
import { ask, exchange, Ztunnel } from './ztunnel.ts'

// AMBIENT_ENABLE_BAGGAGE. No workloads are told: peers are what tunnels say of them, as between networks.
const mesh = await startMesh({
  pods: ['sleep', 'httpbin', 'echo', 'waypoint'],
  ambient: ['sleep', 'httpbin', 'echo'],
  pushes: { waypoint: 'waypoint-baggage' },
})
const waypoint = mesh.pod('waypoint')
const of = (workload: string, more = '') =>
  `k8s.deployment.name=${workload},service.name=${workload},service.version=v9,k8s.namespace.name=demo,k8s.cluster.name=remote${more}`
const sleep = new Ztunnel(mesh.pod('sleep'), 'sleep', mesh.authority, { baggage: of('sleep-far') })
const httpbin = new Ztunnel(mesh.pod('httpbin'), 'httpbin', mesh.authority, {
  baggage: of('httpbin-far', ',cloud.region=r9'),
})
const echo = new Ztunnel(mesh.pod('echo'), 'echo', mesh.authority)
httpbin.listen()
echo.listen()
t.teardown(() => sleep.close())
mesh.pod('httpbin').serve(
  createServer((_, response) => response.end('x'.repeat(100_000))),
  8080,
)
mesh.pod('echo').serve(
  createTcpServer(socket => socket.end('welcome')),
  9000,
)
const ask8000 = (path: string) =>
  ask(sleep, WAYPOINT, `${HTTPBIN}:8000`, path, { headers: { host: 'httpbin.demo.svc.cluster.local:8000' } })

t.test('both ends of a request are what their tunnels say; the stream itself has nothing of it', async t => {
  const answer = await ask8000('/first')
  t.equal(answer.status, 200)
  t.equal(answer.body, 'x'.repeat(100_000))
  const labels = await counted(waypoint, 'istio_requests_total', { reporter: 'waypoint', response_code: '200' })
  t.hasStrict(labels, {
    source_workload: 'sleep-far',
    source_canonical_revision: 'v9',
    source_cluster: 'remote',
    source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
    destination_workload: 'httpbin-far',
    destination_workload_namespace: 'demo',
    destination_canonical_service: 'httpbin-far',
    destination_canonical_revision: 'v9',
    destination_cluster: 'remote',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/httpbin',
    destination_service: 'httpbin-v1.demo.svc.cluster.local',
  })
})

t.test('the waypoint says who it is, to both sides', async t => {
  const own = /k8s\.deployment\.name=waypoint,service\.name=waypoint,.*k8s\.namespace\.name=demo/
  t.match(httpbin.tunnels[0]!.headers['baggage'], own)
  const { headers, stream } = await sleep.open(WAYPOINT, `${HTTPBIN}:8000`)
  t.match(headers['baggage'], own)
  stream.destroy()
})

t.test('later requests on a connection know its end', async () => {
  for (let i = 0; i < 3; i++) await ask8000('/again')
  await counted(waypoint, 'istio_requests_total', { destination_workload: 'httpbin-far', response_code: '200' }, 4)
})

t.test('a server that speaks first, and whose tunnel says nothing, is heard whole', async t => {
  t.equal(await exchange(sleep, WAYPOINT, `${ECHO}:9000`, ''), 'welcome')
})

t.test('nothing of the push was refused', async t => t.same(mesh.plane.rejected, []))

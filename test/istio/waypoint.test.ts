import { createServer, type IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { CertificateAuthority } from '../harness/toy-ca.ts'
import { settled, until } from '../harness/until.ts'
import { ECHO, HTTPBIN, OUTSIDE, startMesh, WAYPOINT } from './mesh.ts'
import { accessLine, counted } from './observed.ts'
import { serviceAccountToken } from './tokens.ts'
import { grpcEcho, grpcMessage, http2Request, tcpEcho } from './traffic.ts'
import { ask, exchange, http2Through, Ztunnel } from './ztunnel.ts'

const mesh = await startMesh({
  pods: ['sleep', 'httpbin', 'httpbin-v2', 'echo', 'waypoint'],
  ambient: ['sleep', 'httpbin', 'echo'],
})
const waypoint = mesh.pod('waypoint')
const sleep = new Ztunnel(mesh.pod('sleep'), 'sleep', mesh.authority)
/** Another workload of the mesh, which no policy allows. */
const echo = new Ztunnel(mesh.pod('echo'), 'echo', mesh.authority)
const httpbin = new Ztunnel(mesh.pod('httpbin'), 'httpbin', mesh.authority)
httpbin.listen()
echo.listen()
t.teardown(() => {
  for (const ztunnel of [sleep, echo]) ztunnel.close()
})

interface Echo {
  readonly version: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly bytes: number
  readonly from: string
}

function application(version: string) {
  return createServer((request, response) => {
    let bytes = 0
    request.on('data', chunk => (bytes += chunk.length))
    const { url: path = '', headers, socket } = request
    const from = (socket.remoteAddress ?? '').replace('::ffff:', '')
    request.on('end', () => response.end(JSON.stringify({ version, path, headers, bytes, from } satisfies Echo)))
  })
}
mesh.pod('httpbin').serve(application('v1'), 8080)
mesh.pod('httpbin-v2').serve(application('v2'), 8080)
mesh.outside.serve(application('outside'), 8080)
const grpcSeen: IncomingHttpHeaders[] = []
for (const name of ['httpbin', 'httpbin-v2'] as const) mesh.pod(name).serve(grpcEcho(grpcSeen), 50051)
mesh.pod('echo').serve(tcpEcho(), 9000)

/** A request of sleep to httpbin:8000, unless it says otherwise. */
async function get(path: string, more: Parameters<typeof ask>[4] & { by?: Ztunnel; to?: string } = {}) {
  const { by = sleep, to = `${HTTPBIN}:8000`, headers = {}, ...rest } = more
  const answer = await ask(by, WAYPOINT, to, path, {
    headers: { host: 'httpbin.demo.svc.cluster.local:8000', ...headers },
    ...rest,
  })
  return { ...answer, echo: (answer.body.startsWith('{') ? JSON.parse(answer.body) : {}) as Echo }
}

t.test('the mesh is known before anything is asked', async t => {
  await until(async () => (await waypoint.admin('/stats?filter=workload_discovery.total')).body.includes(': 7'))
  t.ok(mesh.plane.asked.some(({ pod, type, names }) => pod === 'waypoint' && type === 'WDS' && names.length === 0))
})

t.test('a request comes out of one tunnel and goes on in another, from the client that it is', async t => {
  const { status, headers, echo } = await get('/get?a=1')
  t.equal(status, 200)
  t.match(headers, { server: 'istio-envoy', 'x-envoy-decorator-operation': 'httpbin-v1.demo.svc.cluster.local:8000/*' })
  t.match(echo, { version: 'v1', path: '/get?a=1', headers: { host: 'httpbin.demo.svc.cluster.local:8000' } })
  t.notOk(echo.headers['x-forwarded-client-cert'], 'TLS ends with the tunnel, before the request is seen')
  t.equal(sleep.peer, 'spiffe://cluster.local/ns/demo/sa/waypoint')
  t.match(httpbin.tunnels, [{ authority: '10.77.0.20:8080', identity: 'spiffe://cluster.local/ns/demo/sa/waypoint' }])
  const line = await accessLine(waypoint, /GET \/get\?a=1 /)
  t.match(
    line,
    /" 200 - via_upstream - "-" 0 \S+ .*"envoy:\/\/connect_originate\/10\.77\.0\.20:8080" inbound-vip\|8000\|http\|httpbin-v1\.demo\.svc\.cluster\.local envoy:\/\/internal_client_address\/ 10\.96\.0\.20:8000 10\.77\.0\.10:\S+ - demo\.httpbin\.3$/,
  )
})

t.test('HTTPRoute: a header chooses the version, which is asked without a tunnel', async t => {
  const { status, headers, echo } = await get('/pinned', { headers: { 'x-pin': 'v2' } })
  t.equal(status, 200)
  t.equal(headers['x-route'], 'v2')
  t.match(echo, { version: 'v2', from: WAYPOINT })
})

t.test('HTTPRoute: a path is rewritten, and the request gets a header', async t => {
  t.match((await get('/old/path')).echo, { version: 'v1', path: '/new/path', headers: { 'x-rewritten': 'yes' } })
})

t.test('HTTPRoute: half of the requests go to each version', async t => {
  const versions = new Set<string>()
  for (let i = 0; i < 200 && versions.size < 2; i++) versions.add((await get('/split')).echo.version)
  t.same([...versions].sort(), ['v1', 'v2'])
})

t.test('a body of a megabyte arrives whole, many requests share the tunnels', async t => {
  const body = 'x'.repeat(1_000_000)
  const answers = await Promise.all([1, 2, 3].map(() => get('/upload', { method: 'POST', body })))
  t.same(
    answers.map(({ echo }) => echo.bytes),
    [1_000_000, 1_000_000, 1_000_000],
  )
})

t.test('HTTP/2 and gRPC, trailers included', async t => {
  const session = await http2Through(sleep, WAYPOINT, `${HTTPBIN}:50051`)
  const headers = { ':method': 'POST', ':path': '/echo.Echo/Say', ':authority': 'httpbin:50051', te: 'trailers' }
  const message = grpcMessage('hello')
  const reply = await http2Request(session, { ...headers, 'content-type': 'application/grpc' }, [message])
  t.match(reply, { status: 200, trailers: { 'grpc-status': '0' }, body: message })
  session.destroy()
  const labels = await counted(waypoint, 'istio_requests_total', { request_protocol: 'grpc' })
  t.match(labels, { reporter: 'waypoint', grpc_response_status: '0', source_workload: 'sleep' })
})

t.test('AuthorizationPolicy: by identity and by path; who is refused is told so', async t => {
  t.match(await get('/admin/x'), { status: 403, body: 'RBAC: access denied' })
  t.match(
    await accessLine(waypoint, /GET \/admin\/x /),
    'rbac_access_denied_matched_policy[ns[demo]-policy[deny-admin]-rule[0]]',
  )
  t.match(await get('/other', { by: echo }), { status: 403, body: 'RBAC: access denied' })
  t.match(await accessLine(waypoint, /GET \/other /), 'rbac_access_denied_matched_policy[none]')
})

t.test('RequestAuthentication: a token of the issuer opens what the identity does not', async t => {
  const headers = (token: string) => ({ authorization: `Bearer ${token}` })
  const good = serviceAccountToken('echo')
  t.equal((await get('/token/x')).status, 403, 'a known client without a token')
  const answer = await get('/token/x', { by: echo, headers: headers(good) })
  t.equal(answer.status, 200)
  t.equal(answer.echo.headers.authorization, `Bearer ${good}`, 'forwardOriginalToken')
  t.equal((await get('/token/x', { headers: headers(`${good.slice(0, -3)}abc`) })).status, 401)
})

t.test('TCP: bytes go both ways, and a service is closed to who is not allowed', async t => {
  t.equal(await exchange(sleep, WAYPOINT, `${ECHO}:9000`, 'ping'), 'ping')
  t.equal(echo.tunnels.at(-1)?.authority, '10.77.0.40:9000')
  t.equal(await exchange(httpbin, WAYPOINT, `${ECHO}:9000`, 'ping'), '')
  const denied = async (): Promise<string> => (await waypoint.admin('/stats?filter=^tcp.rbac.denied$')).body
  t.equal(await settled(denied, body => body.endsWith(': 1\n')), 'tcp.rbac.denied: 1\n')
})

t.test('TCP: the connection is counted with both ends', async t => {
  const known = { reporter: 'waypoint', request_protocol: 'tcp', source_workload: 'sleep' }
  t.hasStrict(await counted(waypoint, 'istio_tcp_connections_closed_total', known), {
    source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
    source_canonical_service: 'sleep',
    source_workload_namespace: 'demo',
    destination_workload: 'echo',
    destination_canonical_service: 'echo',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/echo',
    destination_service: 'echo.demo.svc.cluster.local',
    connection_security_policy: 'mutual_tls',
  })
})

t.test('a pod that is asked by its own address is behind the waypoint, too', async t => {
  const { status, echo } = await get('/direct', { to: '10.77.0.20:8080' })
  t.equal(status, 200)
  t.equal(echo.version, 'v1')
  t.match(await accessLine(waypoint, /GET \/direct /), '"envoy://connect_originate/" encap')
  t.equal(httpbin.tunnels.at(-1)?.authority, '10.77.0.20:8080')
})

t.test('a ServiceEntry has a waypoint as a service of the cluster has', async t => {
  const { status, echo } = await get('/egress', { to: '10.96.9.9:80', headers: { host: 'external.example' } })
  t.equal(status, 200)
  t.match(echo, { version: 'outside', headers: { host: 'external.example' } })
  t.match(await accessLine(waypoint, /GET \/egress /), `"${OUTSIDE}:8080" inbound-vip|80|http|external.example`)
})

t.test('where nothing is known to be, nothing is connected', async t => {
  const { status, headers } = await get('/nowhere', { to: '10.96.77.77:8000' })
  t.not(status, 200)
  t.same(headers, {})
})

t.test('a client without a certificate of the mesh gets no tunnel', async t => {
  const stranger = new Ztunnel(mesh.pod('sleep'), 'sleep', new CertificateAuthority('elsewhere'), {
    trusted: mesh.authority,
  })
  await t.rejects(stranger.open(WAYPOINT, `${HTTPBIN}:8000`))
  const known = await sleep.open(WAYPOINT, `${HTTPBIN}:8000`)
  t.equal(known.status, 200)
  known.stream.destroy()
})

t.test('metrics: a request is counted once, with what the mesh says of both ends', async t => {
  await get('/counted', { method: 'DELETE' })
  const labels = await counted(waypoint, 'istio_requests_total', { method: 'DELETE' })
  t.hasStrict(labels, {
    reporter: 'waypoint',
    source_workload: 'sleep',
    source_workload_namespace: 'demo',
    source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
    source_app: 'sleep',
    source_version: 'v1',
    source_cluster: 'Kubernetes',
    source_canonical_service: 'sleep',
    source_canonical_revision: 'v1',
    destination_workload: 'httpbin',
    destination_workload_namespace: 'demo',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/httpbin',
    destination_app: 'httpbin',
    destination_version: 'v1',
    destination_cluster: 'Kubernetes',
    destination_service: 'httpbin-v1.demo.svc.cluster.local',
    destination_service_name: 'httpbin-v1',
    destination_service_namespace: 'demo',
    destination_canonical_service: 'httpbin',
    destination_canonical_revision: 'v1',
    response_code: '200',
    connection_security_policy: 'mutual_tls',
  })
})

t.test('Telemetry: a log of its own form, with fields of both ends', async t => {
  await get('/logged', { headers: { 'x-pin': 'v2' } })
  const line = JSON.parse(await waypoint.says(/^\{.*"path":"\/logged"/)) as unknown
  t.same(line, {
    code: 200,
    path: '/logged',
    principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
    source: 'sleep',
    destination: 'httpbin-v2',
  })
})

t.test('nothing of the push was refused', async t => {
  t.same(mesh.plane.rejected, [])
  t.notMatch(waypoint.output, /metadata_discovery/)
})

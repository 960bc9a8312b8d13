import { createServer, type IncomingHttpHeaders } from 'node:http'
import { connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { settled } from '../harness/until.ts'
import { HTTPBIN, startMesh } from './mesh.ts'
import { accessLine, counted, recordedLine, samples } from './observed.ts'
import { serviceAccountToken } from './tokens.ts'
import { tcpEcho, tcpExchange } from './traffic.ts'

const mesh = await startMesh({ pods: ['sleep', 'httpbin'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
const HEADERS = { host: 'httpbin.demo.svc.cluster.local:8000', 'user-agent': 'curl/7.88.1', 'x-pin': 'v1' }
const seen: IncomingHttpHeaders[] = []
const app = createServer((request, response) => {
  seen.push(request.headers)
  response.end('hello')
})
httpbin.serve(app, 8080)
httpbin.serve(
  createServer((_, response) => response.end('never')),
  8081,
)
httpbin.serve(tcpEcho(), 9000)

const get = (path: string, headers: Record<string, string> = {}) =>
  sleep.ask(HTTPBIN, 8000, path, { headers: { ...HEADERS, ...headers } })

t.test('RBAC: a path that is for another principal is denied, and the log names the policy', async t => {
  t.match(await get('/admin/x'), { status: 403, body: 'RBAC: access denied' })
  t.equal(await accessLine(sleep, /GET \/admin\/x /), recordedLine('sleep', /GET \/admin\/x .* 403 /))
  t.equal(await accessLine(httpbin, /GET \/admin\/x /), recordedLine('httpbin', /GET \/admin\/x .* 403 /))
  t.match((await get('/administrator')).status, 403, 'the rule is a prefix')
  t.equal((await get('/get')).status, 200)
  const labels = { reporter: 'destination', response_code: '403' }
  t.hasStrict(await counted(httpbin, 'istio_requests_total', labels, 2), {
    source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
    // Of the cluster of the route, although no request was sent there.
    destination_service: 'httpbin.demo.svc.cluster.local',
  })
  const rbac = { http_conn_manager_prefix: 'inbound_0.0.0.0_8080' }
  const enforced = async (result: string): Promise<number | undefined> =>
    (await samples(httpbin, 'envoy_http_rbac', { ...rbac, authz_enforce_result: result }))[0]?.value
  t.equal(
    await settled(
      () => enforced('denied'),
      value => value === 2,
    ),
    2,
  )
  t.ok(
    (await settled(
      () => enforced('allowed'),
      value => value! >= 1,
    ))! >= 1,
  )
})

t.test('RBAC, dry run: what the shadow rules would deny is only counted', async t => {
  t.equal((await get('/dry')).status, 200)
  t.ok(
    await counted(httpbin, 'envoy_http_rbac', {
      http_conn_manager_prefix: 'inbound_0.0.0.0_8080',
      authz_dry_run_action: 'deny',
      authz_dry_run_result: 'denied',
    }),
  )
})

t.test('RBAC: who has no certificate on a port without mutual TLS matches no policy', async t => {
  const answer = await mesh.outside.ask('10.77.0.20', 8081, '/get', {
    headers: { host: '10.77.0.20:8081', 'user-agent': 'curl/7.88.1' },
  })
  t.match(answer, { status: 403, body: 'RBAC: access denied' })
  t.equal(await accessLine(httpbin, /"10\.77\.0\.20:8081"/), recordedLine('httpbin', /"10\.77\.0\.20:8081"/))
})

t.test('RBAC of connections: TCP is closed, and the application hears nothing', async t => {
  t.equal(await tcpExchange(sleep, HTTPBIN, 9000, 'ping'), '')
  const denied = async (): Promise<number> => {
    const of = await samples(httpbin, 'envoy_tcp', { authz_enforce_result: 'denied', tcp_prefix: 'rbac' })
    return of.reduce((sum, sample) => sum + sample.value, 0)
  }
  t.equal(await settled(denied, total => total === 1), 1)
})

t.test(
  "strict mutual TLS: plain text, TLS without a certificate, and a stranger's certificate are not let in",
  async t => {
    const plain = await mesh.outside.ask('10.77.0.20', 8080, '/plain')
    t.equal(plain.status, 0, plain.body)
    const shake = (more: object): Promise<string> =>
      new Promise(resolve => {
        const socket = tlsConnect({
          socket: mesh.outside.connect('10.77.0.20', 8080),
          ca: mesh.authority.rootPem,
          ALPNProtocols: ['istio-http/1.1', 'istio'],
          checkServerIdentity: () => undefined,
          ...more,
        })
        let got = ''
        socket.on('data', chunk => (got += chunk.toString()))
        socket.on('error', error => resolve(error.message))
        socket.on('close', () => resolve(got === '' ? 'closed' : got))
        socket.on('secureConnect', () => socket.write('GET /tls HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'))
      })
    t.notMatch(await shake({}), /HTTP/, 'no certificate')
    const foreign = mesh.authority.identity({ uris: ['spiffe://elsewhere.test/ns/demo/sa/sleep'], ttlMs: 3_600_000 })
    t.notMatch(await shake({ key: foreign.key, cert: foreign.chain }), /HTTP/, 'another trust domain')
    const own = mesh.authority.identity({ uris: ['spiffe://cluster.local/ns/demo/sa/sleep'], ttlMs: 3_600_000 })
    t.match(await shake({ key: own.key, cert: own.chain }), /^HTTP\/1\.1 200 OK/, 'the one that is meant')
  },
)

t.test('JWT: what is no token is refused with 401, in the words of the real proxy', async t => {
  const answer = await get('/get', { authorization: 'Bearer a.b.c' })
  t.match(answer, { status: 401, body: 'Jwt header is an invalid Base64url encoded' })
  t.match(answer.headers['www-authenticate'], 'Bearer realm=')
  t.equal(await accessLine(sleep, /GET \/get .* 401 /), recordedLine('sleep', /GET \/get .* 401 .* pin-v1$/))
  t.equal(await accessLine(httpbin, /GET \/get .* 401 /), recordedLine('httpbin', /GET \/get .* 401 /))
})

t.test('JWT: expired, of another audience, and with a changed payload', async t => {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  t.match(await get('/get', bearer(serviceAccountToken('sleep', { exp: 1 }))), { status: 401, body: 'Jwt is expired' })
  t.match(await get('/get', bearer(serviceAccountToken('sleep', { aud: ['other'] }))), {
    status: 403,
    body: 'Audiences in Jwt are not allowed',
  })
  const [head, , signature] = serviceAccountToken('sleep').split('.')
  const forged = `${head}.${serviceAccountToken('admin').split('.')[1]}.${signature}`
  t.match(await get('/get', bearer(forged)), { status: 401, body: 'Jwt verification fails' })
})

t.test('JWT: a good token opens its path, and the application sees claims and payload', async t => {
  const token = serviceAccountToken('caller')
  seen.length = 0
  const answer = await get('/jwt/x', { authorization: `Bearer ${token}` })
  t.match(answer, { status: 200, body: 'hello' })
  t.equal(seen[0]!['x-sub'], 'system:serviceaccount:demo:caller')
  t.equal(seen[0]!['x-jwt-payload'], token.split('.')[1])
  t.equal(seen[0]!.authorization, `Bearer ${token}`)
  t.equal(await accessLine(sleep, /GET \/jwt\/x /), recordedLine('sleep', /GET \/jwt\/x .* pin-v1$/))
  t.equal(await accessLine(httpbin, /GET \/jwt\/x /), recordedLine('httpbin', /GET \/jwt\/x /))
  seen.length = 0
  await get('/get', { 'x-sub': 'forged', 'x-jwt-payload': 'forged' })
  t.same([seen[0]!['x-sub'], seen[0]!['x-jwt-payload']], [undefined, undefined], 'nobody can pretend to have one')
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

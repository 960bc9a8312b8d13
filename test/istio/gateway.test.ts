import { createServer } from 'node:http'
import { connect as http2Connect } from 'node:http2'
import { request } from 'node:https'
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { CertificateAuthority } from '../harness/toy-ca.ts'
import { until } from '../harness/until.ts'
import { startMesh } from './mesh.ts'
import { accessLine, counted, recordedLine } from './observed.ts'
import type { Reply } from './pod.ts'
import { serviceAccountToken } from './tokens.ts'
import { http2Request, tcpEcho, tcpExchange } from './traffic.ts'

/** What `kubectl create secret tls` holds, apart from the mesh's own certificates. */
const shop = new CertificateAuthority('shop')
const [secure, mtls] = ['secure.example.test', 'mtls.example.test'].map(name =>
  shop.identity({ dnsNames: [name], ttlMs: 3_600_000 }),
)
const certificate = (identity: { key: string; chain: string }) => ({
  tls_certificate: {
    certificate_chain: { inline_bytes: Buffer.from(identity.chain) },
    private_key: { inline_bytes: Buffer.from(identity.key) },
  },
})
const mesh = await startMesh({
  pods: ['gw', 'httpbin', 'httpbin-v2'],
  plane: {
    secrets: new Map<string, object>([
      ['kubernetes://gw-cert', certificate(secure!)],
      ['kubernetes://gw-cert-mtls', certificate(mtls!)],
      [
        'kubernetes://gw-cert-mtls-cacert',
        { validation_context: { trusted_ca: { inline_bytes: Buffer.from(shop.rootPem) } } },
      ],
    ]),
  },
})
const [gw, httpbin, v2, outside] = [mesh.pod('gw'), mesh.pod('httpbin'), mesh.pod('httpbin-v2'), mesh.outside]
const USER_AGENT = { 'user-agent': 'curl/7.88.1' }
for (const [pod, version] of [
  [httpbin, 'v1'],
  [v2, 'v2'],
] as const) {
  const app = createServer((request, response) => response.end(JSON.stringify({ version, ...request.headers })))
  pod.serve(app, 8080)
  pod.serve(tcpEcho(), 9000)
}

/** Sends until such an answer comes: the pushed cluster has both versions. */
async function first(ask: () => Promise<Reply>, wanted: (reply: Reply) => boolean): Promise<Reply> {
  let reply: Reply | undefined
  await until(async () => {
    reply = await ask()
    return wanted(reply)
  })
  return reply!
}

t.test(
  'HTTP: the policy of the server lets nobody in from the gateway without a token; other names are not served',
  async t => {
    const get = (path: string, headers: Record<string, string> = {}) =>
      outside.ask(gw.address, 8080, path, { headers: { host: 'httpbin.example.test', ...USER_AGENT, ...headers } })
    const denied = await first(
      () => get('/get'),
      reply => reply.status === 403,
    )
    t.equal(denied.body, 'RBAC: access denied')
    t.equal(denied.headers['server'], 'istio-envoy')
    t.equal(await accessLine(gw, /" 403 /), recordedLine('gw', /" 403 /))
    t.equal(await accessLine(httpbin, /" 403 /), recordedLine('httpbin', /" 403 .*"httpbin\.example\.test"/))
    const unknown = await outside.ask(gw.address, 8080, '/get', { headers: { host: 'nope.test', ...USER_AGENT } })
    t.match(unknown, { status: 404, body: '' })
    t.equal(await accessLine(gw, /" 404 NR /), recordedLine('gw', /" 404 NR /))

    const authorization = `Bearer ${serviceAccountToken('user')}`
    const allowed = await first(
      () => get('/jwt/x', { authorization }),
      reply => reply.body.includes('"v1"'),
    )
    t.match(JSON.parse(allowed.body), {
      'x-forwarded-for': '10.77.0.1',
      'x-forwarded-proto': 'http',
      'x-envoy-attempt-count': '1',
      'x-sub': 'system:serviceaccount:demo:user',
      'x-forwarded-client-cert':
        /^By=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/httpbin;.*URI=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/gateway$/,
    })
    const labels = { response_code: '200', source_workload: 'gateway', destination_version: 'v1' }
    t.hasStrict(await counted(httpbin, 'istio_requests_total', labels), {
      source_principal: 'spiffe://cluster.local/ns/demo/sa/gateway',
      connection_security_policy: 'mutual_tls',
    })
  },
)

function overTls(port: number, name: string, more: object = {}): TLSSocket {
  const options = { servername: name, ca: shop.rootPem, ...more }
  return tlsConnect({ socket: outside.connect(gw.address, port), ...options })
}

function https(port: number, name: string, more: object = {}): Promise<Reply> {
  return new Promise(resolve => {
    const outgoing = request(
      { path: '/get', headers: { host: name, ...USER_AGENT }, createConnection: () => overTls(port, name, more) },
      incoming => {
        let body = ''
        incoming.setEncoding('utf8').on('data', chunk => (body += chunk))
        incoming.on('end', () => resolve({ status: incoming.statusCode!, headers: incoming.headers, body }))
      },
    )
    outgoing.on('error', error => resolve({ status: 0, headers: {}, body: error.message }))
    outgoing.end()
  })
}

t.test('HTTPS with the certificate that istiod pushed; ALPN says HTTP/2', async t => {
  const reply = await first(
    () => https(8443, 'secure.example.test'),
    reply => reply.status === 200,
  )
  t.match(JSON.parse(reply.body), { version: 'v2', 'x-forwarded-proto': 'https', 'x-forwarded-for': '10.77.0.1' })
  const session = http2Connect('https://secure.example.test', {
    createConnection: () => overTls(8443, 'secure.example.test', { ALPNProtocols: ['h2', 'http/1.1'] }),
  })
  t.teardown(() => session.destroy())
  const head = { ':authority': 'secure.example.test:8443', ':path': '/get', ...USER_AGENT }
  await until(async () => (await http2Request(session, head)).status === 200)
  t.equal(await accessLine(gw, /HTTP\/2" 200 /), recordedLine('gw', /HTTP\/2" 200 /))
})

t.test('a name that no server of the gateway has gets no handshake', async t => {
  t.equal((await https(8443, 'other.example.test')).status, 0)
})

t.test('mutual TLS at the edge: only with a certificate of the root that istiod pushed', async t => {
  const client = shop.identity({ dnsNames: ['client.example.test'], ttlMs: 3_600_000 })
  const shown = { key: client.key, cert: client.chain }
  const reply = await first(
    () => https(8444, 'mtls.example.test', shown),
    reply => reply.status === 200,
  )
  t.match(
    JSON.parse(reply.body)['x-forwarded-client-cert'],
    /Hash=[0-9a-f]{64};Cert=".*";Subject="".*DNS=client\.example\.test/,
  )
  t.equal((await https(8444, 'mtls.example.test')).status, 0, 'none')
  const stranger = mesh.authority.identity({ dnsNames: ['client.example.test'], ttlMs: 3_600_000 })
  t.equal(
    (await https(8444, 'mtls.example.test', { key: stranger.key, cert: stranger.chain })).status,
    0,
    'another root',
  )
})

t.test('TCP: a port of the gateway is a port of the service', async t => {
  await until(async () => (await tcpExchange(outside, gw.address, 31400, 'ping')) === 'ping')
  t.ok(
    await counted(gw, 'istio_tcp_connections_opened_total', {
      destination_workload: 'httpbin-v2',
      destination_service: 'httpbin.demo.svc.cluster.local',
    }),
  )
})

t.test('TLS passthrough: by the name that the client asks for, untouched', async t => {
  const own = shop.identity({ dnsNames: ['pass.example.test'], ttlMs: 3_600_000 })
  // The same port of the service: version 2 speaks TLS there now.
  v2.unserve(9000)
  v2.serve(
    createTlsServer({ key: own.key, cert: own.chain }, socket => void socket.on('error', () => {}).end('secret')),
    9000,
  )
  let got = ''
  await until(async () => {
    got = await new Promise<string>(resolve => {
      const socket = overTls(8445, 'pass.example.test')
      let text = ''
      socket.on('data', chunk => (text += chunk.toString()))
      socket.on('error', () => {})
      socket.on('close', () => resolve(text))
    })
    return got !== ''
  })
  t.equal(got, 'secret')
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

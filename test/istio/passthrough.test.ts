import { createServer } from 'node:http'
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { OUTSIDE, startMesh } from './mesh.ts'
import { accessLine, counted, recordedLine } from './observed.ts'
import { tcpEcho, tcpExchange } from './traffic.ts'

const mesh = await startMesh({ pods: ['sleep', 'echo', 'httpbin-v2'] })
const [sleep, echo, outside] = [mesh.pod('sleep'), mesh.pod('echo'), mesh.outside]
const UNKNOWN = { destination_workload: 'unknown', destination_principal: 'unknown' }

t.test('HTTP to an address that is no service goes on to it, as it was', async t => {
  mesh.pod('httpbin-v2').serve(
    createServer((request, response) => response.end(JSON.stringify(request.headers))),
    8080,
  )
  const answer = await sleep.ask('10.77.0.21', 8080, '/pt', {
    headers: { host: '10.77.0.21:8080', 'user-agent': 'curl/7.88.1' },
  })
  t.equal(answer.status, 200)
  const headers = JSON.parse(answer.body) as Record<string, string>
  t.equal(headers['host'], '10.77.0.21:8080')
  t.equal(headers['x-forwarded-client-cert'], undefined)
  t.equal(await accessLine(sleep, /GET \/pt /), recordedLine('sleep', /GET \/pt /))
  t.hasStrict(await counted(sleep, 'istio_requests_total', { destination_service_name: 'PassthroughCluster' }), {
    ...UNKNOWN,
    reporter: 'source',
    source_workload: 'sleep',
    destination_service: '10.77.0.21:8080',
  })
})

t.test(
  'TCP to an address outside: on a port that no listener has, and on one where HTTP would be understood',
  async t => {
    const peers: string[] = []
    outside.serve(tcpEcho(peers), 7777)
    outside.serve(tcpEcho(peers), 8000)
    t.equal(await tcpExchange(sleep, OUTSIDE, 7777, 'ping'), 'ping')
    t.equal(await tcpExchange(sleep, OUTSIDE, 8000, '\x00\x01binary'), '\x00\x01binary')
    t.same(peers, ['10.77.0.10', '10.77.0.10'])
    const labels = { destination_service_name: 'PassthroughCluster' }
    t.hasStrict(await counted(sleep, 'istio_tcp_connections_opened_total', labels, 2), {
      ...UNKNOWN,
      source_workload: 'sleep',
      source_principal: 'unknown',
    })
  },
)

t.test('TLS of the application to a known name outside passes untouched, counted for that name', async t => {
  const identity = mesh.authority.identity({ dnsNames: ['www.example.test'], ttlMs: 3_600_000 })
  outside.serve(
    createTlsServer(
      { key: identity.key, cert: identity.chain },
      socket => void socket.on('error', () => {}).end('secret'),
    ),
    443,
  )
  const socket = tlsConnect({
    socket: sleep.connect(OUTSIDE, 443),
    servername: 'www.example.test',
    ca: mesh.authority.rootPem,
  })
  let got = ''
  socket.on('data', chunk => (got += chunk.toString()))
  await new Promise((resolve, reject) => socket.on('close', resolve).on('error', reject))
  t.equal(got, 'secret')
  t.ok(await counted(sleep, 'istio_tcp_connections_opened_total', { destination_service: 'www.example.test' }))
})

t.test('a name that the registry has outside, without a sidecar there', async t => {
  outside.serve(
    createServer((request, response) => response.end(request.headers.host)),
    80,
  )
  const answer = await sleep.ask(OUTSIDE, 80, '/', { headers: { host: 'www.example.test' } })
  t.match(answer, { status: 200, body: 'www.example.test' })
  t.match(await accessLine(sleep, /"www\.example\.test"/), `"${OUTSIDE}:80" outbound|80||www.example.test`)
})

t.test('what comes in without TLS to a port that istiod was not told of reaches the application', async t => {
  const peers: string[] = []
  echo.serve(tcpEcho(peers), 9999)
  echo.serve(
    createServer((request, response) => response.end(request.headers['x-forwarded-proto'])),
    9998,
  )
  t.equal(await tcpExchange(outside, '10.77.0.40', 9999, 'from outside'), 'from outside')
  t.same(peers, ['127.0.0.6'])
  t.match(await outside.ask('10.77.0.40', 9998, '/in'), { status: 200, body: 'http' })
  t.match(await accessLine(echo, /GET \/in /), '"10.77.0.40:9998" InboundPassthroughCluster 127.0.0.6:port')
  t.hasStrict(await counted(echo, 'istio_tcp_connections_opened_total', { reporter: 'destination' }), {
    source_workload: 'unknown',
    source_principal: 'unknown',
    destination_workload: 'echo',
    connection_security_policy: 'none',
  })
})

t.test('an address where nobody listens: the client is told, with the flag UF', async t => {
  const answer = await sleep.ask('10.77.0.21', 8000, '/nobody', { headers: { host: 'nobody.test' } })
  t.equal(answer.status, 503)
  t.match(
    answer.body,
    /^upstream connect error or disconnect\/reset before headers\. (retried and the latest )?reset reason: remote connection failure/,
  )
  t.match(
    await accessLine(sleep, /GET \/nobody /),
    /" 503 (UF|URX,UF|UF,URX) upstream_reset_before_response_started\{remote_connection_failure/,
  )
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

import { createServer, type IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { HTTPBIN, startMesh } from './mesh.ts'
import { accessLine, counted, recordedLine } from './observed.ts'

const mesh = await startMesh({ pods: ['sleep', 'httpbin', 'httpbin-v2'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
const HOST = 'httpbin.demo.svc.cluster.local:8000'

interface Echo {
  readonly version: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly bytes: number
}

for (const [pod, version] of [
  [httpbin, 'v1'],
  [mesh.pod('httpbin-v2'), 'v2'],
] as const) {
  const app = createServer((request, response) => {
    let bytes = 0
    request.on('data', chunk => (bytes += chunk.length))
    request.on('end', () => {
      response.setHeader('server-x', 'to be removed')
      response.end(
        JSON.stringify({ version, path: request.url, headers: request.headers, bytes } satisfies Record<
          string,
          unknown
        >),
      )
    })
  })
  pod.serve(app, 8080)
}

async function get(path: string, headers: Record<string, string> = {}, method = 'GET', body?: string) {
  const answer = await sleep.ask(HTTPBIN, 8000, path, {
    method,
    headers: { host: HOST, 'user-agent': 'curl/7.88.1', ...headers },
    ...(body === undefined ? {} : { body }),
  })
  const echo = (answer.body.startsWith('{') ? JSON.parse(answer.body) : {}) as Echo
  return { ...answer, echo }
}

t.test('a request goes through both sidecars by mutual TLS: what both applications see', async t => {
  const { status, headers, echo } = await get('/get', { 'x-pin': 'v1' })
  t.equal(status, 200)
  t.equal(headers['server'], 'envoy')
  t.match(headers['x-envoy-upstream-service-time'], /^\d+$/)
  t.match(
    echo.headers['x-forwarded-client-cert'],
    /^By=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/httpbin;Hash=[0-9a-f]{64};Subject="";URI=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/sleep$/,
  )
  t.match(echo.headers, {
    host: HOST,
    'x-envoy-attempt-count': '1',
    'x-forwarded-proto': 'http',
    'x-request-id': /^[0-9a-f]{8}-/,
  })
  const internal = (name: string): boolean => /^x-envoy-(peer|decorator|expected)/.test(name)
  t.same(Object.keys(echo.headers).filter(internal), [], 'what proxies tell each other stays among them')
  t.same(Object.keys(headers).filter(internal), [])
})

t.test(
  'the weighted route: four of five to version 1 by mutual TLS, the rest to version 2 without a sidecar',
  async t => {
    const versions = new Map<string, unknown>()
    for (let i = 0; i < 200 && versions.size < 2; i++) {
      const { echo, headers } = await get('/get')
      versions.set(echo.version, headers['x-subset'])
      if (echo.version === 'v2') t.notOk(echo.headers['x-forwarded-client-cert'])
    }
    t.same(
      [...versions].sort(),
      [
        ['v1', 'v1'],
        ['v2', undefined],
      ],
      'each answered; the header is of version 1 only',
    )
    t.equal(
      await accessLine(sleep, /GET \/get .*v1.* weighted$/),
      recordedLine('sleep', /GET \/get .* 200 .* weighted$/),
    )
    t.equal(await accessLine(httpbin, /GET \/get /), recordedLine('httpbin', /GET \/get .* 200 /))
  },
)

t.test('rewrite of prefix and host, headers set, added and removed on both ways', async t => {
  const { echo, headers } = await get('/old/a?q=abc', { 'x-remove': '1' })
  t.match(echo, {
    path: '/new/a?q=abc',
    headers: { host: 'rewritten.example.test', 'x-set': '1', 'x-add': '10.77.0.10' },
  })
  t.notOk(echo.headers['x-remove'])
  t.equal(headers['x-resp'], 'yes')
  t.notOk(headers['server-x'])
  t.equal(await accessLine(sleep, /GET \/old\//), recordedLine('sleep', /GET \/old\//))
  t.equal(await accessLine(httpbin, /GET \/old\//), recordedLine('httpbin', /GET \/old\//))
  t.equal((await get('/re/zz')).echo.path, '/x/zz')
  t.equal(await accessLine(sleep, /GET \/re\//), recordedLine('sleep', /GET \/re\//))
})

t.test('redirect, direct response and CORS preflight are answered by the client sidecar', async t => {
  t.match(await get('/redirect'), { status: 308, headers: { location: 'https://other.example.test:8443/landed' } })
  t.match(await get('/direct'), { status: 503, body: 'direct body' })
  const cors = await get('/cors', { origin: 'https://x.b.test', 'access-control-request-method': 'GET' }, 'OPTIONS')
  t.match(cors, {
    status: 200,
    headers: {
      'access-control-allow-origin': 'https://x.b.test',
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET,POST',
      'access-control-allow-headers': 'x-a',
      'access-control-max-age': '86400',
    },
  })
  for (const path of [/\/redirect /, /\/direct /, /OPTIONS \/cors /]) {
    t.equal(await accessLine(sleep, path), recordedLine('sleep', path))
  }
})

t.test('a body of a megabyte arrives whole', async t => {
  const { echo } = await get('/upload', { 'x-pin': 'v1' }, 'POST', 'x'.repeat(1_000_000))
  t.equal(echo.bytes, 1_000_000)
})

t.test('istio_requests_total on both sides names both workloads and the principals of the certificates', async t => {
  const before = await get('/counted', { 'x-pin': 'v1', host: 'httpbin.demo' })
  t.equal(before.status, 200)
  const both = {
    source_workload: 'sleep',
    source_workload_namespace: 'demo',
    source_canonical_service: 'sleep',
    source_canonical_revision: 'latest',
    source_app: 'sleep',
    source_cluster: 'Kubernetes',
    source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
    destination_workload: 'httpbin',
    destination_workload_namespace: 'demo',
    destination_canonical_service: 'httpbin',
    destination_canonical_revision: 'v1',
    destination_app: 'httpbin',
    destination_version: 'v1',
    destination_cluster: 'Kubernetes',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/httpbin',
    destination_service: 'httpbin.demo.svc.cluster.local',
    destination_service_name: 'httpbin.demo.svc.cluster.local',
    destination_service_namespace: 'demo',
    request_protocol: 'http',
    response_code: '200',
    response_flags: '-',
    // The dimension that the pushed configuration adds.
    request_host: 'httpbin.demo',
  }
  t.hasStrict(await counted(sleep, 'istio_requests_total', { reporter: 'source', request_host: 'httpbin.demo' }), {
    ...both,
    connection_security_policy: 'unknown',
  })
  t.hasStrict(
    await counted(httpbin, 'istio_requests_total', { reporter: 'destination', request_host: 'httpbin.demo' }),
    {
      ...both,
      connection_security_policy: 'mutual_tls',
    },
  )
})

t.test('nothing of the pushes was refused', async t => {
  t.same(mesh.plane.rejected, [])
  t.notMatch(sleep.output, 'Deprecated field', 'the agent starts its proxy with --skip-deprecated-logs')
  // A stream that broke on a busy machine was opened again.
  t.same([...new Set(mesh.plane.clients)].toSorted(), [
    'spiffe://cluster.local/ns/demo/sa/httpbin',
    'spiffe://cluster.local/ns/demo/sa/sleep',
  ])
})

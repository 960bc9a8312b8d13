import { createServer, type IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { settled } from '../harness/until.ts'
import { HTTPBIN, startMesh } from './mesh.ts'
import { accessLine, counted } from './observed.ts'
import { tcpEcho, tcpExchange } from './traffic.ts'

const mesh = await startMesh({
  pods: ['sleep', 'httpbin'],
  pushes: { sleep: 'ambient-sleep-hbone', httpbin: 'ambient-httpbin-hbone' },
})
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]

interface Echo {
  readonly headers: IncomingHttpHeaders
  readonly bytes: number
}

const app = createServer((request, response) => {
  let bytes = 0
  request.on('data', chunk => (bytes += chunk.length))
  request.on('end', () => response.end(JSON.stringify({ headers: request.headers, bytes } satisfies Echo)))
})
httpbin.serve(app, 8080)
httpbin.serve(tcpEcho(), 9000)

async function get(path: string, method = 'GET', body?: string) {
  const headers = { host: 'httpbin.demo.svc.cluster.local:8000', 'x-pin': 'v1' }
  const answer = await sleep.ask(HTTPBIN, 8000, path, { method, headers, ...(body === undefined ? {} : { body }) })
  return { ...answer, echo: (answer.body.startsWith('{') ? JSON.parse(answer.body) : {}) as Echo }
}

t.test('a request goes through the tunnel, by mutual TLS and CONNECT, to the application', async t => {
  const { status, headers, echo } = await get('/get')
  t.equal(status, 200)
  t.equal(headers['server'], 'envoy')
  t.match(echo.headers, { host: 'httpbin.demo.svc.cluster.local:8000', 'x-envoy-attempt-count': '1' })
  t.notOk(echo.headers['x-forwarded-client-cert'], 'TLS ends with the tunnel, before the request is seen')
  const client = await accessLine(sleep, /GET \/get /)
  t.match(
    client,
    /"envoy:\/\/connect_originate\/10\.77\.0\.20:8080" outbound\|8000\|v1\|httpbin\S* envoy:\/\/internal_client_address\/ /,
  )
  const server = await accessLine(httpbin, /GET \/get /)
  t.match(
    server,
    /"10\.77\.0\.20:8080" inbound\|8080\|\| 127\.0\.0\.6:\S+ 10\.77\.0\.20:8080 10\.77\.0\.10:\S+ - default$/,
  )
})

t.test('a body of a megabyte arrives whole', async t => {
  t.equal((await get('/upload', 'POST', 'x'.repeat(1_000_000))).echo.bytes, 1_000_000)
})

t.test('policies judge the principal of the tunnel: HTTP by path, TCP as a whole', async t => {
  t.match(await get('/admin'), { status: 403, body: 'RBAC: access denied' })
  t.match(
    await accessLine(httpbin, /GET \/admin /),
    'rbac_access_denied_matched_policy[ns[demo]-policy[deny-admin]-rule[0]]',
  )
  t.equal(await tcpExchange(sleep, HTTPBIN, 9000, 'ping'), '')
  const denied = async (): Promise<string> => (await httpbin.admin('/stats?filter=^tcp.rbac.denied$')).body
  t.equal(await settled(denied, body => body.endsWith(': 1\n')), 'tcp.rbac.denied: 1\n')
})

t.test('both sides count the request: the destination knows the principals, the source the workload', async t => {
  const both = {
    source_workload_namespace: 'demo',
    destination_service: 'httpbin.demo.svc.cluster.local',
    destination_canonical_service: 'httpbin',
    destination_canonical_revision: 'v1',
    request_protocol: 'http',
  }
  t.hasStrict(await counted(sleep, 'istio_requests_total', { reporter: 'source', response_code: '200' }, 2), {
    ...both,
    source_workload: 'sleep',
    destination_workload: 'httpbin-v1',
  })
  t.hasStrict(await counted(httpbin, 'istio_requests_total', { reporter: 'destination', response_code: '200' }, 2), {
    ...both,
    source_principal: 'spiffe://cluster.local/ns/demo/sa/sleep',
    destination_principal: 'spiffe://cluster.local/ns/demo/sa/httpbin',
    connection_security_policy: 'mutual_tls',
  })
})

t.test('admin pages show the tunnel: internal listeners, and where it goes', async t => {
  const listeners = (await sleep.admin('/listeners')).body
  t.match(listeners, /^main_internal::envoy:\/\/main_internal\/$/m)
  t.match(listeners, /^connect_originate::envoy:\/\/connect_originate\/$/m)
  const page = async (): Promise<string> => (await sleep.admin('/clusters')).body
  const clusters = await settled(page, body => body.includes('::rq_success::3'))
  t.match(clusters, /^connect_originate::10\.77\.0\.20:15008::cx_total::1$/m)
  t.match(clusters, /^outbound\|8000\|v1\|\S+::envoy:\/\/connect_originate\/10\.77\.0\.20:8080::rq_success::3$/m)
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

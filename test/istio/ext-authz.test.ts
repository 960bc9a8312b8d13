import { createServer, type IncomingMessage } from 'node:http'
import t from 'tap'
import { settled } from '../harness/until.ts'
import { HTTPBIN, startMesh } from './mesh.ts'
import { accessLine, recordedLine } from './observed.ts'

/** A policy of action CUSTOM: httpbin's sidecar asks the ext-authz service about paths below /ext/. And the EnvoyFilter with a local rate limit. */
const mesh = await startMesh({
  pods: ['sleep', 'httpbin', 'ext-authz'],
  // Istio's sidecars leave these stats out otherwise.
  config: { proxyStatsMatcher: { inclusionPrefixes: ['http_local_rate_limiter'] } },
})
const [sleep, httpbin, authority] = [mesh.pod('sleep'), mesh.pod('httpbin'), mesh.pod('ext-authz')]
const HEADERS = { host: 'httpbin.demo.svc.cluster.local:8000', 'user-agent': 'curl/7.88.1', 'x-pin': 'v1' }
httpbin.serve(
  createServer((_, response) => response.end('hello')),
  8080,
)

const get = (path: string, headers: Record<string, string> = {}) =>
  sleep.ask(HTTPBIN, 8000, path, { headers: { ...HEADERS, ...headers } })

t.test('a service that is not there lets nobody pass, and the log says why', async t => {
  t.match(await get('/ext/x'), { status: 403, body: '' })
  t.equal(await accessLine(httpbin, /GET \/ext\/x /), recordedLine('httpbin', /GET \/ext\/x .* UAEX /))
  t.equal(await accessLine(sleep, /GET \/ext\/x /), recordedLine('sleep', /GET \/ext\/x .* 403 /))
})

t.test('the service decides by the header that it may see, about the paths of the policy only', async t => {
  const asked: IncomingMessage[] = []
  const service = createServer((request, response) => {
    asked.push(request)
    response.writeHead(request.headers['x-ext-authz'] === 'allow' ? 200 : 403, {
      'x-ext-authz-check-result': 'checked',
    })
    response.end('denied by ext_authz')
  })
  authority.serve(service, 8000)
  const denied = await get('/ext/y?q=1', { 'x-ext-authz': 'deny', 'x-secret': '1' })
  t.match(denied, { status: 403, body: 'denied by ext_authz', headers: { 'x-ext-authz-check-result': 'checked' } })
  t.match(await accessLine(httpbin, /GET \/ext\/y/), '403 UAEX ext_authz_denied')
  t.match(await get('/ext/z', { 'x-ext-authz': 'allow' }), { status: 200, body: 'hello' })
  t.equal((await get('/get')).status, 200)
  t.same(
    asked.map(({ method, url, headers }) => [method, url, headers['x-ext-authz'], headers['x-secret'], headers.host]),
    [
      ['GET', '/ext/y?q=1', 'deny', undefined, HEADERS.host],
      ['GET', '/ext/z', 'allow', undefined, HEADERS.host],
    ],
  )
})

t.test('the local rate limit counts what passes', async t => {
  const stats = async (): Promise<string> => (await httpbin.admin('/stats?filter=http_local_rate_limiter')).body
  // The two that were let through above.
  const body = await settled(stats, text => text.includes('http_local_rate_limit.ok: 2\n'))
  t.match(body, 'http_local_rate_limiter.http_local_rate_limit.ok: 2\n')
  t.match(body, 'http_local_rate_limiter.http_local_rate_limit.rate_limited: 0\n')
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

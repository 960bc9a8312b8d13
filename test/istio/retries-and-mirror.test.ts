import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import t from 'tap'
import { until } from '../harness/until.ts'
import { HTTPBIN, startMesh } from './mesh.ts'
import { accessLine, counted, samples } from './observed.ts'

/** The pushed route /mirror: three retries of 5xx, gateway errors, resets and 409, one second per try; half is mirrored to version 2. */
const mesh = await startMesh({ pods: ['sleep', 'httpbin', 'httpbin-v2'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
const HEADERS = { host: 'httpbin.demo.svc.cluster.local:8000', 'user-agent': 'curl/7.88.1' }

/** What the attempts were and how they are answered, by path. */
const attempts = new Map<string, (string | undefined)[]>()
const behaviour: Record<string, (attempt: number, response: ServerResponse) => void> = {
  '/mirror/flaky': (attempt, response) => response.writeHead(attempt < 3 ? 503 : 200).end(`attempt ${attempt}`),
  '/mirror/conflict': (attempt, response) => response.writeHead(attempt < 2 ? 409 : 200).end(),
  '/mirror/broken': (_, response) => response.writeHead(500).end('always'),
  '/mirror/hangs': (attempt, response) => {
    if (attempt > 1) response.end('at last')
  },
  '/mirror/resets': (attempt, response) => {
    if (attempt > 1) response.end('at last')
    else response.socket!.resetAndDestroy()
  },
  '/mirror/bad': (_, response) => response.writeHead(404).end(),
}
httpbin.serve(
  createServer((request, response) => {
    const path = request.url!
    const seen = attempts.get(path) ?? []
    attempts.set(path, [...seen, request.headers['x-envoy-attempt-count'] as string])
    const answer = behaviour[path]
    if (answer === undefined) response.end('hello')
    else answer(seen.length + 1, response)
  }),
  8080,
)
const mirrored: { readonly request: IncomingMessage; readonly body: string }[] = []
mesh.pod('httpbin-v2').serve(
  createServer((request, response) => {
    let body = ''
    request.on('data', chunk => (body += chunk))
    request.on('end', () => {
      mirrored.push({ request, body })
      response.writeHead(500).end('nobody reads this')
    })
  }),
  8080,
)
const get = (path: string) => sleep.ask(HTTPBIN, 8000, path, { headers: HEADERS })

t.test('failures are tried again, and each attempt is numbered for the application', async t => {
  t.match(await get('/mirror/flaky'), { status: 200, body: 'attempt 3' })
  t.same(attempts.get('/mirror/flaky'), ['1', '2', '3'])
  t.match(await accessLine(sleep, /GET \/mirror\/flaky /), '" 200 - via_upstream ')
  const labels = { reporter: 'source', response_code: '200' }
  t.ok(await counted(sleep, 'istio_requests_total', labels), 'one request for the client')
  const failed = { reporter: 'destination', response_code: '503' }
  t.ok(await counted(httpbin, 'istio_requests_total', failed, 2), 'each attempt for the server')
})

t.test('a status of the list, a reset, and an attempt that takes too long are tried again', async t => {
  t.equal((await get('/mirror/conflict')).status, 200)
  t.match(await get('/mirror/resets'), { status: 200, body: 'at last' })
  t.match(await get('/mirror/hangs'), { status: 200, body: 'at last' })
  t.same(
    [...attempts.values()].map(list => list.length),
    [3, 2, 2, 2],
  )
})

t.test('what is not in the policy is not; and after three retries the last answer stands', async t => {
  t.equal((await get('/mirror/bad')).status, 404)
  t.equal(attempts.get('/mirror/bad')!.length, 1)
  t.match(await get('/mirror/broken'), { status: 500, body: 'always' })
  t.same(attempts.get('/mirror/broken'), ['1', '2', '3', '4'])
  t.match(await accessLine(sleep, /GET \/mirror\/broken /), '" 500 URX via_upstream ')
})

t.test("about half of the requests arrive at version 2 as well; what it answers is nobody's concern", async t => {
  mirrored.length = 0
  let sent = 0
  await until(async () => {
    const answer = await sleep.ask(HTTPBIN, 8000, `/mirror/${sent++}`, {
      method: 'POST',
      headers: HEADERS,
      body: 'the body',
    })
    t.match(answer, { status: 200, body: 'hello' })
    return mirrored.length >= 3
  })
  t.ok(mirrored.length <= sent)
  const [{ request, body }] = mirrored as [(typeof mirrored)[0]]
  t.equal(body, 'the body')
  t.match(request, { method: 'POST', url: /^\/mirror\/\d+$/ })
  t.equal(request.headers.host, HEADERS.host, 'without -shadow, as the push says')
  t.notOk(request.headers['x-forwarded-client-cert'])
  t.same(await samples(sleep, 'istio_requests_total', { response_code: '500', destination_version: 'v2' }), [])
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

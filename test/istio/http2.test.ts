import { createServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import t from 'tap'
import { HTTPBIN, OUTSIDE, startMesh } from './mesh.ts'
import { accessLine, counted } from './observed.ts'
import { http2Request, http2Session } from './traffic.ts'

const mesh = await startMesh({ pods: ['sleep', 'httpbin', 'echo'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
const HOST = 'httpbin.demo.svc.cluster.local:8000'
const REQUEST = { ':authority': HOST, ':scheme': 'http', ':method': 'GET', 'x-pin': 'v1' }

httpbin.serve(
  createServer((request, response) => {
    response.setHeader('x-version', request.httpVersion)
    request.pipe(response)
  }),
  8080,
)
const session = http2Session(sleep, HTTPBIN, 8000)
t.teardown(() => session.destroy())

t.test('HTTP/2 by prior knowledge; HTTP/1.1 from there on, as the cluster of a port named http says', async t => {
  const answer = await http2Request(session, { ...REQUEST, ':path': '/h2', ':method': 'POST' }, [Buffer.from('ping')])
  t.equal(answer.status, 200)
  t.equal(answer.body.toString(), 'ping')
  t.equal(answer.headers['x-version'], '1.1')
  t.match(await accessLine(sleep, /POST \/h2 HTTP\/2" 200 - via_upstream/), 'outbound|8000|v1|httpbin')
  t.match(await accessLine(httpbin, /POST \/h2 HTTP\/1\.1" 200 - via_upstream/), 'outbound_.8000_.v1_.httpbin.demo')
})

t.test('HTTP/2 stays HTTP/2 to a server outside, and into a pod on a port that istiod was not told of', async t => {
  const echo = mesh.pod('echo')
  for (const pod of [mesh.outside, echo]) {
    const server = createHttp2Server((request, response) => {
      response.setHeader('x-version', request.httpVersion)
      request.pipe(response)
    })
    pod.serve(server, 8000)
  }
  for (const [host, authority] of [
    [OUTSIDE, 'h2.example.test'],
    ['10.77.0.40', '10.77.0.40:8000'],
  ] as const) {
    const other = http2Session(sleep, host, 8000)
    const answer = await http2Request(
      other,
      { ':authority': authority, ':method': 'POST', ':path': '/through', ':scheme': 'http' },
      [Buffer.from('ping')],
    )
    t.equal(answer.body.toString(), 'ping')
    t.equal(answer.headers['x-version'], '2.0')
    other.destroy()
  }
  t.match(await accessLine(echo, /POST \/through HTTP\/2" 200 /), 'InboundPassthroughCluster 127.0.0.6:port')
})

t.test(
  'forty requests at once on one connection: each gets its own answer (the pushed limit is 50 waiting)',
  async t => {
    const bodies = Array.from({ length: 40 }, (_, i) => `body ${i} ${'x'.repeat(i * 1000)}`)
    const answers = await Promise.all(
      bodies.map(body =>
        http2Request(session, { ...REQUEST, ':path': '/many', ':method': 'POST' }, [Buffer.from(body)]),
      ),
    )
    t.same(
      answers.map(answer => answer.body.toString()),
      bodies,
    )
    t.hasStrict(await counted(httpbin, 'istio_requests_total', { reporter: 'destination' }, 41), {
      request_protocol: 'http',
      connection_security_policy: 'mutual_tls',
    })
  },
)

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import t from 'tap'
import { OUTSIDE, startMesh } from './mesh.ts'
import { accessLine, counted } from './observed.ts'
import { tcpEcho, tcpExchange } from './traffic.ts'

/** A pod with `sidecar.istio.io/interceptionMode: NONE`: no rules; its application asks the proxy on loopback. */
const mesh = await startMesh({
  pods: ['sleep', 'httpbin'],
  pushes: { sleep: 'default-sleep-mode-NONE' },
  modes: { sleep: 'NONE' },
})
const [sleep, httpbin, outside] = [mesh.pod('sleep'), mesh.pod('httpbin'), mesh.outside]

t.test('services are at their ports of 127.0.0.1', async t => {
  httpbin.serve(
    createServer((request, response) => response.end(request.headers['x-forwarded-client-cert'])),
    8080,
  )
  const headers = { host: 'httpbin.demo:8000', 'x-pin': 'v1' }
  const answer = await sleep.ask('127.0.0.1', 8000, '/get', { headers })
  t.match(answer, { status: 200, body: /URI=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/sleep$/ })
  t.match(
    await accessLine(sleep, /GET \/get /),
    'outbound|8000|v1|httpbin.demo.svc.cluster.local 10.77.0.10:port 127.0.0.1:8000',
  )
  t.hasStrict(await counted(httpbin, 'istio_requests_total', { reporter: 'destination' }), {
    source_workload: 'sleep',
    connection_security_policy: 'mutual_tls',
  })
  // A port below 1024 is bound too; without rules nobody can tell where an unknown name was meant to go.
  const unknown = await sleep.ask('127.0.0.1', 80, '/', { headers: { host: 'nobody.test' } })
  t.match(unknown, { status: 503, body: 'no healthy upstream' })
})

t.test('nothing else goes through the proxy, out or in', async t => {
  const peers: string[] = []
  outside.serve(tcpEcho(peers), 8000)
  t.equal(await tcpExchange(sleep, OUTSIDE, 8000, 'ping'), 'ping')
  sleep.serve(
    createTcpServer(socket => socket.on('error', () => {}).end(`from ${socket.remoteAddress}`)),
    7777,
  )
  t.match(await tcpExchange(outside, sleep.address, 7777, 'hello'), /10\.77\.0\.1$/)
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

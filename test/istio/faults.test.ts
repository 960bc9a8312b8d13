import { createServer } from 'node:http'
import t from 'tap'
import { HTTPBIN, startMesh } from './mesh.ts'
import { accessLine, counted, recordedLine } from './observed.ts'
import { grpcMessage, http2Request, http2Session } from './traffic.ts'

const mesh = await startMesh({ pods: ['sleep', 'httpbin'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
let arrived = 0
httpbin.serve(
  createServer((_, response) => {
    arrived++
    response.end('hello')
  }),
  8080,
)
const HEADERS = { host: 'httpbin.demo.svc.cluster.local:8000', 'user-agent': 'curl/7.88.1' }

t.test('an injected abort: status and body of the fault, flag FI, and the server hears nothing', async t => {
  const answer = await sleep.ask(HTTPBIN, 8000, '/get', { headers: { ...HEADERS, 'x-fault': 'abort' } })
  t.match(answer, { status: 418, body: 'fault filter abort' })
  t.equal(arrived, 0)
  t.equal(await accessLine(sleep, /GET \/get .* 418 /), recordedLine('sleep', /GET \/get .* 418 /))
  t.hasStrict(await counted(sleep, 'istio_requests_total', { response_code: '418' }), {
    reporter: 'source',
    response_flags: 'FI',
    destination_service: 'httpbin.demo.svc.cluster.local',
  })
})

t.test('an injected delay: the answer comes, later, with the flag DI', async t => {
  const sent = performance.now()
  const answer = await sleep.ask(HTTPBIN, 8000, '/get', { headers: { ...HEADERS, 'x-fault': 'delay' } })
  t.match(answer, { status: 200, body: 'hello' })
  t.ok(performance.now() - sent >= 290)
  t.equal(arrived, 1)
  t.equal(await accessLine(sleep, /GET \/get .* 200 DI /), recordedLine('sleep', /GET \/get .* 200 DI /))
  t.ok(await counted(sleep, 'istio_requests_total', { response_code: '200', response_flags: 'DI' }))
})

t.test('an abort of a gRPC call is a gRPC status', async t => {
  const session = http2Session(sleep, HTTPBIN, 50051)
  t.teardown(() => session.destroy())
  const call = {
    ':authority': 'httpbin.demo:50051',
    ':scheme': 'http',
    ':method': 'POST',
    ':path': '/demo.Echo/Unary',
    'content-type': 'application/grpc',
    'x-fault': 'abort',
  }
  t.match(await http2Request(session, call, [grpcMessage('one')]), {
    status: 200,
    headers: { 'grpc-status': '2', 'grpc-message': 'fault filter abort' },
  })
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

import type { IncomingHttpHeaders } from 'node:http2'
import t from 'tap'
import { HTTPBIN, startMesh } from './mesh.ts'
import { accessLine, counted } from './observed.ts'
import { serviceAccountToken } from './tokens.ts'
import { grpcEcho, grpcMessage, http2Request, http2Session } from './traffic.ts'

const mesh = await startMesh({ pods: ['sleep', 'httpbin'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
const CALL = {
  ':authority': 'httpbin.demo.svc.cluster.local:50051',
  ':scheme': 'http',
  ':method': 'POST',
  'content-type': 'application/grpc',
  te: 'trailers',
  'x-pin': 'v1',
}
/** The pushed policy lets in on this port only who shows a token, below this path. */
const ALLOWED = { ...CALL, ':path': '/jwt/Echo', authorization: `Bearer ${serviceAccountToken('sleep')}` }
const seen: IncomingHttpHeaders[] = []
httpbin.serve(grpcEcho(seen), 50051)
const session = http2Session(sleep, HTTPBIN, 50051)
t.teardown(() => session.destroy())

t.test('a call goes through both sidecars with its trailers', async t => {
  const answer = await http2Request(session, ALLOWED, [grpcMessage('one')])
  t.equal(answer.status, 200)
  t.same(answer.body, grpcMessage('one'))
  t.equal(answer.trailers['grpc-status'], '0')
  t.match(seen[0], {
    te: 'trailers',
    'x-envoy-attempt-count': '1',
    'x-sub': 'system:serviceaccount:demo:sleep',
    'x-forwarded-client-cert': /URI=spiffe:\/\/cluster\.local\/ns\/demo\/sa\/sleep$/,
  })
  const labels = { request_protocol: 'grpc', grpc_response_status: '0', response_code: '200' }
  t.ok(await counted(sleep, 'istio_requests_total', { reporter: 'source', ...labels }))
  t.ok(await counted(httpbin, 'istio_requests_total', { reporter: 'destination', ...labels }))
  t.match(await accessLine(httpbin, /POST \/jwt\/Echo HTTP\/2" 200 /), 'inbound|50051||')
})

t.test('a stream: what the server answers comes while the client still writes', async t => {
  const stream = session.request(ALLOWED)
  let got = Buffer.alloc(0)
  let heard = (): void => {}
  stream.on('data', (chunk: Buffer) => {
    got = Buffer.concat([got, chunk])
    heard()
  })
  for (let i = 1; i <= 5; i++) {
    const answered = new Promise<void>(resolve => (heard = () => got.length === i * 10 && resolve()))
    stream.write(grpcMessage(`msg ${i}`))
    await answered
  }
  const trailers = new Promise<IncomingHttpHeaders>(resolve => stream.on('trailers', resolve))
  stream.end()
  t.equal((await trailers)['grpc-status'], '0')
  for (const name of ['istio_request_messages_total', 'istio_response_messages_total']) {
    t.ok(await counted(sleep, name, { reporter: 'source' }, 6), 'one call before, five here')
    t.ok(await counted(httpbin, name, { reporter: 'destination' }, 6))
  }
})

t.test('a call that the policy denies ends with PERMISSION_DENIED', async t => {
  const answer = await http2Request(session, { ...CALL, ':path': '/demo.Echo/Unary' }, [grpcMessage('one')])
  t.match(answer, {
    status: 200,
    headers: { 'grpc-status': '7', 'grpc-message': 'RBAC: access denied', 'content-type': 'application/grpc' },
  })
  t.equal(seen.length, 2, 'the application hears nothing of it')
  t.match(
    await accessLine(httpbin, /\/demo\.Echo\/Unary/),
    'HTTP/2" 200 - rbac_access_denied_matched_policy[none] - "-"',
  )
  t.ok(await counted(sleep, 'istio_requests_total', { reporter: 'source', grpc_response_status: '7' }))
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

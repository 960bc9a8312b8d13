import { createServer } from 'node:http'
import { createServer as createHttp2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import t from 'tap'
import { decodeMessage } from '../../src/config/binary.ts'
import type { opentelemetry } from '../../src/config/gen/messages.d.ts'
import { HTTPBIN, startMesh } from './mesh.ts'
import { until } from './pod.ts'

type LogsRequest = opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest

const mesh = await startMesh({ pods: ['sleep', 'httpbin', 'observability'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
httpbin.serve(
  createServer((_, response) => response.end('hello')),
  8080,
)

interface Export {
  readonly from: string
  readonly headers: IncomingHttpHeaders
  readonly message: LogsRequest
}
const exports: Export[] = []
const collector = createHttp2Server()
collector.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', () => {})
  stream.on('end', () => {
    const body = Buffer.concat(chunks).subarray(5)
    const { message } = decodeMessage<LogsRequest>(
      'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest',
      body,
    )
    exports.push({ from: stream.session!.socket.remoteAddress!.replace('::ffff:', ''), headers, message })
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    // An empty ExportLogsServiceResponse.
    stream.end(Buffer.alloc(5))
  })
})
mesh.pod('observability').serve(collector, 4317)

t.test('both sidecars send their access log to the collector that the push names', async t => {
  const headers = { host: 'httpbin.demo:8000', 'x-pin': 'v1' }
  t.equal((await sleep.ask(HTTPBIN, 8000, '/logged', { headers })).status, 200)
  const recordOf = (pod: string) =>
    exports
      .filter(({ from }) => from === mesh.pod(pod as 'sleep').address)
      .flatMap(({ message }) => message.resource_logs ?? [])
      .flatMap(({ scope_logs = [] }) => scope_logs)
      .flatMap(({ log_records = [] }) => log_records)
      .find(({ attributes = [] }) => attributes.some(({ value }) => value?.string_value === '/logged'))
  await until(async () => recordOf('sleep') !== undefined && recordOf('httpbin') !== undefined)
  for (const pod of ['sleep', 'httpbin']) {
    t.match(recordOf(pod), {
      body: { string_value: 'HTTP/1.1' },
      attributes: [{ key: 'a', value: { string_value: '/logged' } }],
    })
  }
  t.match(exports[0]!.headers, {
    ':path': '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
    ':authority': 'otel-collector.observability.svc.cluster.local',
    'content-type': 'application/grpc',
  })
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

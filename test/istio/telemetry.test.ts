import { createServer } from 'node:http'
import { createServer as createHttp2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import t from 'tap'
import { decodeMessage } from '../../src/config/binary.ts'
import type { opentelemetry } from '../../src/config/gen/messages.d.ts'
import { until } from '../harness/until.ts'
import { HTTPBIN, startMesh } from './mesh.ts'

const LOGS = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
const LOGS_TYPE = 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'
const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const TRACES_TYPE = 'opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest'
type TracesRequest = opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest
type LogsRequest = opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest

const mesh = await startMesh({ pods: ['sleep', 'httpbin', 'observability'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]
httpbin.serve(
  createServer((request, response) => response.end(JSON.stringify(request.headers))),
  8080,
)

interface Export {
  readonly from: string
  readonly headers: IncomingHttpHeaders
  readonly message: LogsRequest
}
const exports: Export[] = []
const traces: TracesRequest[] = []
const collector = createHttp2Server()
collector.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('error', () => {})
  stream.on('end', () => {
    const body = Buffer.concat(chunks).subarray(5)
    const from = stream.session!.socket.remoteAddress!.replace('::ffff:', '')
    if (headers[':path'] === LOGS)
      exports.push({ from, headers, message: decodeMessage<LogsRequest>(LOGS_TYPE, body).message })
    else if (headers[':path'] === TRACES) traces.push(decodeMessage<TracesRequest>(TRACES_TYPE, body).message)
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    // An empty ExportLogsServiceResponse.
    stream.end(Buffer.alloc(5))
  })
})
mesh.pod('observability').serve(collector, 4317)

interface Span {
  readonly traceId: string
  readonly id: string
  readonly parentId?: string
  readonly kind: string
  readonly name: string
  readonly localEndpoint: { readonly serviceName: string }
  readonly tags: Readonly<Record<string, string>>
}
const spans: Span[] = []
mesh.pod('observability').serve(
  createServer((request, response) => {
    let body = ''
    request.on('data', chunk => (body += chunk))
    request.on('end', () => {
      if (request.url === '/api/v2/spans') spans.push(...(JSON.parse(body) as Span[]))
      response.writeHead(202).end()
    })
  }),
  9411,
)

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
    ':path': LOGS,
    ':authority': 'otel-collector.observability.svc.cluster.local',
    'content-type': 'application/grpc',
  })
})

t.test(
  "each sidecar sends its span to its tracer, and gives the next one the context in its tracer's headers",
  async t => {
    const answer = await sleep.ask(HTTPBIN, 8000, '/traced', { headers: { host: 'httpbin.demo:8000', 'x-pin': 'v1' } })
    const seen = JSON.parse(answer.body) as Record<string, string>
    const zipkin = () => spans.find(span => span.tags['http.url']?.endsWith('/traced'))
    const otlp = () =>
      traces
        .flatMap(({ resource_spans = [] }) => resource_spans)
        .flatMap(({ scope_spans = [] }) => scope_spans)
        .flatMap(({ spans = [] }) => spans)
        .find(({ attributes }) => attributes?.some(({ value }) => value?.string_value?.endsWith('/traced')))
    await until(async () => zipkin() !== undefined && otlp() !== undefined)
    t.match(zipkin(), {
      traceId: seen['x-b3-traceid'],
      id: seen['x-b3-spanid'],
      // The decorator of the route.
      name: 'httpbin.demo.svc.cluster.local:8000/*',
      kind: 'CLIENT',
      localEndpoint: { serviceName: 'sleep.demo' },
      tags: {
        'guid:x-request-id': seen['x-request-id'],
        'http.status_code': '200',
        upstream_cluster: 'outbound|8000|v1|httpbin.demo.svc.cluster.local',
        // Literal, environment and request header, as pushed.
        a: 'b',
        e: 'sleep',
        h: 'd',
        'istio.canonical_service': 'sleep',
      },
    })
    const server = otlp()!
    const id = Buffer.from(server.trace_id!).toString('hex')
    t.equal(seen['traceparent'], `00-${id}-${Buffer.from(server.span_id!).toString('hex')}-01`)
    t.match(server, { name: 'httpbin.demo.svc.cluster.local:8000/*', kind: 'SPAN_KIND_SERVER' })
    const attributes = new Map(server.attributes!.map(({ key, value }) => [key, value!.string_value]))
    t.equal(attributes.get('istio.authorization.dry_run.deny_policy.result'), 'allowed', 'from metadata of RBAC')
    t.equal(attributes.get('upstream_cluster'), 'inbound|8080||')
  },
)

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

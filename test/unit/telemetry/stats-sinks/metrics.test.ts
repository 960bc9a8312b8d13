import t from 'tap'
import { decodeMessage } from '../../../../src/config/binary.ts'
import type { GrpcServiceConfig } from '../../../../src/config/grpc-service.ts'
import type { GrpcStream, GrpcStreamUser, PendingCall } from '../../../../src/config/services.ts'
import { HistogramBins } from '../../../../src/stats/histogram.ts'
import { TagExtractor } from '../../../../src/stats/tags.ts'
import { FamilyWriter } from '../../../../src/telemetry/stats-sinks/metrics-service/families.ts'
import { metricsServiceFactory } from '../../../../src/telemetry/stats-sinks/metrics-service.ts'
import {
  type OpenTelemetryConfig,
  OpenTelemetrySink,
  openTelemetrySinkFactory,
} from '../../../../src/telemetry/stats-sinks/open-telemetry.ts'
import type { SenderServices } from '../../../../src/telemetry/stats-sinks/sink.ts'

const tags = new TagExtractor(true)
const counter = (name: string, total: number) => ({ name, total, value: total, used: true })

const OTLP: OpenTelemetryConfig = {
  grpc: null,
  http: null,
  resource: ['service.name', 's'],
  counterDeltas: true,
  histogramDeltas: true,
  attributes: true,
  extractedNames: true,
  prefix: '',
  batchSize: 0,
}

function otlp(config: Partial<OpenTelemetryConfig>): { sink: OpenTelemetrySink; sent: unknown[] } {
  const sent: unknown[] = []
  const type = 'opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest'
  const sink = new OpenTelemetrySink(
    { ...OTLP, ...config },
    {
      tags,
      buckets: () => [1, 5],
      deliver: messages => {
        for (const message of messages) sent.push(decodeMessage(type, message).message)
      },
    },
    1000,
  )
  return { sink, sent }
}

type Request = { resource_metrics: [{ scope_metrics: [{ metrics: Record<string, { data_points: unknown[] }>[] }] }] }
const metrics = (request: unknown) => (request as Request).resource_metrics[0].scope_metrics[0].metrics

t.test('a delta counts from the last flush, in nanoseconds', async t => {
  const { sink, sent } = otlp({})
  sink.flush({ counters: [counter('cluster.a.upstream_rq_200', 2)], gauges: [], histograms: [], at: 2000 })
  sink.flush({ counters: [counter('cluster.a.upstream_rq_200', 5)], gauges: [], histograms: [], at: 3000 })
  const [point] = metrics(sent[1])[0]!['sum']!.data_points
  t.match(point, { start_time_unix_nano: 2_000_000_000, time_unix_nano: 3_000_000_000, as_int: 3 })
})

t.test('a total counts from the start', async t => {
  const { sink, sent } = otlp({ counterDeltas: false })
  sink.flush({ counters: [counter('x', 2)], gauges: [], histograms: [], at: 2000 })
  const [point] = metrics(sent[0])[0]!['sum']!.data_points
  t.match(point, { start_time_unix_nano: 1_000_000_000, as_int: 2 })
})

t.test('what did not move has no delta, and an empty flush is not sent', async t => {
  const { sink, sent } = otlp({})
  const bins = new HistogramBins()
  bins.record(3)
  const empty = new HistogramBins()
  sink.flush({
    counters: [counter('x', 2)],
    gauges: [],
    histograms: [{ name: 'h', interval: bins, cumulative: bins, used: true }],
    at: 2000,
  })
  sink.flush({
    counters: [counter('x', 2)],
    gauges: [],
    histograms: [{ name: 'h', interval: empty, cumulative: bins, used: true }],
    at: 3000,
  })
  t.equal(sent.length, 1)
  const [point] = metrics(sent[0])[1]!['histogram']!.data_points
  t.match(point, { count: 1, explicit_bounds: [1, 5], bucket_counts: [0, 1, 0] })
})

t.test('max_data_points_per_request cuts a flush into requests, each with the resource', async t => {
  const { sink, sent } = otlp({ batchSize: 2, counterDeltas: false })
  sink.flush({ counters: ['a', 'b', 'c'].map(name => counter(name, 1)), gauges: [], histograms: [], at: 2000 })
  t.strictSame(
    sent.map(request => metrics(request).length),
    [2, 1],
  )
  t.match(sent[1], { resource_metrics: [{ resource: { attributes: [{ key: 'service.name' }] } }] })
})

t.test('a flush goes whole or, while too many calls wait for the collector, not at all', async t => {
  let calls = 0
  const timers = { arm() {}, cancel() {} }
  const call = (): PendingCall => {
    calls++
    return { cancel() {} }
  }
  const services = { callOuts: { grpc: () => ({ call }) }, timers } as unknown as SenderServices
  const sender = openTelemetrySinkFactory.create({ ...OTLP, grpc: {} as GrpcServiceConfig }, services)
  const flush = Array.from({ length: 100 }, () => new Uint8Array(1))
  sender.send(flush)
  t.equal(calls, 100)
  sender.send(flush)
  t.equal(calls, 100)
})

t.test('batch_size cuts a flush into messages; a flush of nothing is one message', async t => {
  const batched = new FamilyWriter(null, 5, 2)
  for (const name of ['a', 'b', 'c']) batched.counter(name, 1)
  const counts = batched.finish().map(bytes => {
    const { message } = decodeMessage('envoy.service.metrics.v3.StreamMetricsMessage', bytes)
    return (message as { envoy_metrics: unknown[] }).envoy_metrics.length
  })
  t.strictSame(counts, [2, 1])
  t.equal(new FamilyWriter(null, 5, 0).finish().length, 1)
})

/** A service whose streams a test ends. */
class Streams {
  readonly sent: Uint8Array[][] = []
  readonly users: GrpcStreamUser[] = []
  blocked = false

  open(_path: string, user: GrpcStreamUser): GrpcStream {
    const messages: Uint8Array[] = []
    this.sent.push(messages)
    this.users.push(user)
    const self = this
    return {
      get blocked() {
        return self.blocked
      },
      send: message => void messages.push(message),
      close() {},
      cancel() {},
    }
  }
}

function sender(streams: Streams) {
  const services = {
    callOuts: { grpc: () => streams },
    node: { id: 'n', cluster: 'c', region: '', zone: '', subZone: '', metadata: {} },
  } as unknown as SenderServices
  const at = { field: () => at } as never
  const config = metricsServiceFactory.parse({ grpc_service: { envoy_grpc: { cluster_name: 'x' } } }, at, [])
  return metricsServiceFactory.create(config, services)
}

const identified = (message: Uint8Array): boolean =>
  'identifier' in decodeMessage('envoy.service.metrics.v3.StreamMetricsMessage', message).message

t.test('every stream says once who sends', async t => {
  const streams = new Streams()
  const service = sender(streams)
  const [message] = new FamilyWriter(null, 5, 0).finish()
  service.send([message!, message!])
  streams.users[0]!.onClosed(14, 'gone')
  service.send([message!])
  t.strictSame(
    streams.sent.map(messages => messages.map(identified)),
    [[true, false], [true]],
  )
})

t.test('a service that does not read gets nothing until it does', async t => {
  const streams = new Streams()
  const service = sender(streams)
  const [message] = new FamilyWriter(null, 5, 0).finish()
  streams.blocked = true
  service.send([message!])
  t.equal(streams.sent[0]!.length, 0)
  streams.blocked = false
  service.send([message!])
  t.strictSame(streams.sent[0]!.map(identified), [true], 'the first that it gets says who sends')
})

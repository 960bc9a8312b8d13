import { address, bootstrap, cluster, H2_UPSTREAM, httpListener, typed } from '../configs/builder.ts'
import { admin, type Group, get, type Scenario, type Step, scenario } from '../scenario.ts'

/** What stat sinks send. Flushes are asked for by requests of /stats, so that their number is known. */
const STATSD = 'envoy.config.metrics.v3.StatsdSink'
const DOG = 'envoy.config.metrics.v3.DogStatsdSink'
const GRAPHITE = 'envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink'
const SERVICE = 'envoy.config.metrics.v3.MetricsServiceConfig'
const OTLP = 'envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig'

const ROUTES = '[{match: {prefix: /}, route: {cluster: a}}]'
const ON_ADMIN = 'stats_flush_on_admin: true'

/** Of one cluster: a sink that comes before another sees what that does only in the next flush. */
const METRICS = [
  'cluster\\.(a\\.)?(upstream_rq(_xx|_200|_2xx|_503|_total|_time|_active|_timeout)?|upstream_cx_total|membership_healthy|membership_degraded)([:;].*cluster_name.a\\b|:\\d+\\|\\w+$|$)',
  '\\bhttp\\.(main\\.)?downstream_rq_(total|2xx|xx|4xx|active|time)([:;].*prefix.main\\b|:\\d+\\|\\w+$|$)',
  'listener\\.(main\\.)?connections_accepted_per_socket_event',
  'server\\.(live|version|dropped_stat_flushes|days_until_first_cert_expiring)\\b',
]

/** One flush; its datagrams may come after the answer. */
const flush: Step = admin('/stats?filter=^none$', { as: 'none' })
const pause: Step = { kind: 'wait', ms: 150 }
/** After a request, after another, after none. */
const FLUSHES = [get('/', {}), flush, pause, get('/', {}), flush, pause, flush, pause]

const sinks = (...list: object[]): string => `stats_sinks: ${JSON.stringify(list)}`
const flushed = (name: string, doc: string, steps: readonly Step[], more: object = {}): Scenario =>
  scenario(name, doc, steps, [], { metrics: METRICS, unordered: true, ...more })
const sinkGroup = (
  name: string,
  upstreams: Group['upstreams'],
  list: readonly object[],
  scenarios: readonly Scenario[],
  extra = ON_ADMIN,
): Group => ({
  name,
  upstreams: { a: { kind: 'http1' }, ...upstreams },
  config: bootstrap(
    [httpListener('main', { routes: ROUTES, listener: 'stat_prefix: main' })],
    [
      cluster('a', 'a'),
      ...Object.entries(upstreams)
        .filter(([, spec]) => spec.kind !== 'udp')
        .map(([upstream, spec]) => cluster(upstream, upstream, spec.kind === 'h2' ? H2_UPSTREAM : '')),
      cluster('closed', 'nobody', H2_UPSTREAM),
    ],
    `${sinks(...list)}\n${extra}`,
  ),
  scenarios,
})

const to = (name: string, more: object = {}): Record<string, unknown> => ({ address: address(name), ...more })

const statsd = sinkGroup(
  'statsd',
  {
    plain: { kind: 'udp' },
    named: { kind: 'udp' },
    dog: { kind: 'udp' },
    dogfull: { kind: 'udp', script: 'within:512' },
    graphite: { kind: 'udp' },
    graphitefull: { kind: 'udp', script: 'within:512' },
  },
  [
    typed('plain', STATSD, to('plain')),
    typed('named', STATSD, to('named', { prefix: 'my.proxy' })),
    typed('dog', DOG, to('dog')),
    typed('dogfull', DOG, to('dogfull', { prefix: 'p', max_bytes_per_datagram: 512 })),
    typed('graphite', GRAPHITE, to('graphite')),
    typed('graphitefull', GRAPHITE, to('graphitefull', { prefix: 'g', max_bytes_per_datagram: 512 })),
    typed('nobody', STATSD, to('nobody')),
  ],
  [
    flushed(
      'flushes',
      'Counters since the last flush, also those that did not move or were reset; gauges as they are',
      [
        flush,
        pause,
        get('/', {}),
        get('/', { up: 'status:503' }),
        flush,
        pause,
        flush,
        pause,
        get('/', {}),
        admin('/reset_counters', { method: 'POST' }),
        flush,
        pause,
      ],
    ),
    flushed('samples', 'Samples do not wait for a flush', [get('/', {}), pause]),
  ],
)

const tcp = sinkGroup(
  'statsd-tcp',
  { tcpplain: { kind: 'tcp', script: 'collect' } },
  [
    typed('tcpplain', STATSD, { tcp_cluster_name: 'tcpplain' }),
    typed('closed', STATSD, { tcp_cluster_name: 'closed', prefix: 'lost' }),
  ],
  [flushed('request', 'Over TCP, through a cluster', FLUSHES)],
)

const interval = sinkGroup(
  'statsd-interval',
  { every: { kind: 'udp' } },
  [typed('every', STATSD, to('every'))],
  [
    scenario('interval', 'Flushes come by themselves', [get('/', {}), pause, pause], [], {
      metrics: ['cluster\\.a\\.upstream_rq_(total|2xx):[1-9]'],
    }),
  ],
  'stats_flush_interval: 0.1s',
)

const service = (name: string, more: object = {}, cluster = 'h2', up = 'hang'): object =>
  typed(name, SERVICE, {
    transport_api_version: 'V3',
    grpc_service: {
      envoy_grpc: { cluster_name: cluster },
      initial_metadata: [
        { key: 'x-sink', value: name },
        { key: 'x-up', value: up },
        ...('batch_size' in more ? [{ key: 'x-batch', value: String(more.batch_size) }] : []),
      ],
    },
    ...more,
  })

const metrics = sinkGroup(
  'metrics-service',
  { h2: { kind: 'h2' } },
  [
    service('default'),
    service('deltas', { report_counters_as_deltas: true }),
    service('labels', { emit_tags_as_labels: true }),
    service('summary', { histogram_emit_mode: 'SUMMARY' }),
    service('histogram', { histogram_emit_mode: 'HISTOGRAM' }),
    service('batch', { batch_size: 20 }),
    service('closed', {}, 'closed'),
  ],
  [flushed('stream', 'One stream for all flushes, which says only once who sends', FLUSHES)],
)

const otlpSink = (name: string, more: object = {}, cluster = 'h2', up = 'message:'): object =>
  typed(name, OTLP, {
    grpc_service: {
      envoy_grpc: { cluster_name: cluster },
      initial_metadata: [
        { key: 'x-sink', value: name },
        { key: 'x-up', value: up },
      ],
    },
    ...more,
  })

const otlp = sinkGroup(
  'otlp-metrics',
  { h2: { kind: 'h2' }, col: { kind: 'http1' } },
  [
    otlpSink('default'),
    otlpSink('deltas', { report_counters_as_deltas: true, report_histograms_as_deltas: true }),
    otlpSink('names', { emit_tags_as_attributes: false, use_tag_extracted_name: false, prefix: 'pre' }),
    typed('http', OTLP, {
      http_service: {
        http_uri: { uri: 'http://col.test/v1/metrics?a=b', cluster: 'col', timeout: '1s' },
        request_headers_to_add: [{ header: { key: 'x-sink', value: 'http' } }],
      },
    }),
    otlpSink('closed', {}, 'closed'),
    otlpSink('refused', {}, 'h2', 'grpc:8:full'),
  ],
  [flushed('exports', 'Before any request, after one, after another, after none', [flush, pause, ...FLUSHES])],
)

export default [statsd, tcp, interval, metrics, otlp]

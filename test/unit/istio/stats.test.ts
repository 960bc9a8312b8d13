import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { stats } from '../../../src/config/gen/messages.d.ts'
import { GrpcMessageCounts } from '../../../src/http/filters/grpc-stats.ts'
import { istioAlpnFactory } from '../../../src/http/filters/istio-alpn.ts'
import { istioStatsFactory } from '../../../src/http/filters/istio-stats.ts'
import { readTagged, taggedName } from '../../../src/stats/explicit-tags.ts'
import { prometheusText } from '../../../src/stats/prometheus.ts'
import { TagExtractor } from '../../../src/stats/tags.ts'
import type { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { WorkloadMetadata } from '../../../src/telemetry/workload-metadata.ts'
import { FakeServices, FakeStream, request, response } from '../http/fakes.ts'

const NODE = {
  id: 'n',
  cluster: 'c',
  region: '',
  zone: '',
  subZone: '',
  metadata: { WORKLOAD_NAME: 'own', NAMESPACE: 'ns' },
}

interface Sample {
  readonly name: string
  readonly tags: Readonly<Record<string, string>>
  readonly value: number
}

function setup(proto: stats.PluginConfig, direction = 'OUTBOUND') {
  const services = Object.assign(new FakeServices(), {
    node: NODE,
    trafficDirection: direction,
    log: () => ({ warning: () => undefined }),
  })
  const warnings: string[] = []
  const filter = istioStatsFactory.create(
    istioStatsFactory.parse(proto, FieldPath.root(), warnings),
    services.asServices,
  )
  const samples = (): Sample[] =>
    [...services.stats.values.keys()].map(raw => {
      const { tagged } = readTagged(raw)
      const name = tagged.name.replace('istiocustom.istio_', '')
      return { name, tags: Object.fromEntries(tagged.tags), value: services.stats.get(raw) }
    })
  const one = (name: string): Sample => samples().find(s => s.name === name)!
  const stream = (prepare: (info: StreamInfo) => void = () => undefined, headers = request()) => {
    const s = new FakeStream(filter, services)
    s.info.start = 0
    s.info.end = 12
    s.info.responseCode = 200
    prepare(s.info)
    Object.assign(s, { cluster: null, responseHeaders: response(200), responseTrailers: null })
    s.decode(headers)
    return s
  }
  const finish = (s: FakeStream): void => filter.onDestroy!(s.asContext)
  return { services, filter, warnings, samples, one, stream, finish }
}

t.test('an unknown peer is unknown, its revision latest; the authority stands for the service', async t => {
  const { one, stream, finish } = setup({})
  finish(stream())
  t.match(one('requests_total'), {
    value: 1,
    tags: {
      reporter: 'source',
      source_workload: 'own',
      destination_workload: 'unknown',
      destination_canonical_revision: 'latest',
      destination_service: 'lab.test',
      destination_service_name: 'lab.test',
      destination_service_namespace: 'unknown',
      response_code: '200',
      grpc_response_status: '',
    },
  })
})

t.test('the authority is not used when the host comes from outside the mesh', async t => {
  const { one, stream, finish } = setup({ disable_host_header_fallback: true })
  finish(stream())
  t.equal(one('requests_total').tags['destination_service'], 'unknown')
})

t.test('names of clusters and routes that stand for no service', async t => {
  const name = (prepare: (info: StreamInfo) => void): string | undefined => {
    const { one, stream, finish } = setup({})
    finish(stream(prepare))
    return one('requests_total').tags['destination_service_name']
  }
  t.equal(
    name(info => (info.routeName = 'block_all')),
    'BlackHoleCluster',
  )
  t.equal(
    name(info => (info.routeName = 'allow_any')),
    'PassthroughCluster',
  )
  t.equal(
    name(info => (info.upstreamClusterName = 'InboundPassthroughCluster')),
    'InboundPassthroughCluster',
  )
  t.equal(
    name(info => (info.clusterMetadata = { istio: { services: [{ host: 'web.ns.svc' }] } })),
    'web',
  )
})

t.test('without a peer the endpoint metadata of the host is used', async t => {
  const { one, stream, finish } = setup({})
  finish(stream(info => (info.hostMetadata = { istio: { workload: 'w;wns;svc;v2;k' } })))
  t.match(one('requests_total').tags, {
    destination_workload: 'w',
    destination_workload_namespace: 'wns',
    destination_canonical_service: 'svc',
    destination_canonical_revision: 'v2',
    destination_cluster: 'k',
    destination_app: 'unknown',
  })
})

t.test('principals of filter state count before those of the connection', async t => {
  const { one, stream, finish } = setup({}, 'INBOUND')
  finish(
    stream(info => {
      info.setState('io.istio.peer_principal', 'spiffe://td/ns/peer-ns/sa/a')
      info.setState('io.istio.local_principal', 'spiffe://td/ns/own/sa/b')
      info.setState('downstream_peer_obj', new WorkloadMetadata({ workload: 'peer', namespace: 'told' }))
    }),
  )
  t.match(one('requests_total').tags, {
    reporter: 'destination',
    source_workload: 'peer',
    source_workload_namespace: 'peer-ns',
    source_principal: 'spiffe://td/ns/peer-ns/sa/a',
    destination_principal: 'spiffe://td/ns/own/sa/b',
    connection_security_policy: 'mutual_tls',
  })
})

t.test('a waypoint reports for several servers', async t => {
  const { one, stream, finish } = setup({ reporter: 'SERVER_GATEWAY' })
  finish(
    stream(info => info.setState('upstream_peer_obj', new WorkloadMetadata({ workload: 'w', identity: 'spiffe://i' }))),
  )
  t.match(one('requests_total').tags, {
    reporter: 'waypoint',
    destination_workload: 'w',
    destination_principal: 'spiffe://i',
    connection_security_policy: 'none',
  })
})

t.test('dimensions: added, replaced, removed; metrics dropped and defined', async t => {
  const { samples, one, stream, finish, warnings } = setup({
    definitions: [
      { name: 'code', value: 'response.code', type: 'HISTOGRAM' },
      { name: 'sum', value: '40 + 2' },
      { name: 'requests_total', value: '1' },
    ],
    metrics: [
      { dimensions: { zz: 'request.host', aa: 'request.headers["none"]', destination_app: '"replaced"' } },
      { name: 'requests_total', tags_to_remove: ['response_flags', 'none_such'] },
      { name: 'request_bytes', drop: true },
      { name: 'sum', dimensions: { host: 'request.host' } },
      { dimensions: { bad: 'request.' } },
    ],
  })
  finish(stream())
  const requests = one('requests_total')
  t.match(requests.tags, { zz: 'lab.test', aa: 'unknown', destination_app: 'replaced' })
  t.notOk('response_flags' in requests.tags)
  t.ok('response_flags' in one('response_bytes').tags)
  t.same(Object.keys(requests.tags).slice(-2), ['aa', 'zz'], 'added ones come last, in order')
  t.equal(
    samples().find(s => s.name === 'request_bytes'),
    undefined,
  )
  t.match(one('sum'), { value: 42, tags: { host: 'lab.test', destination_app: 'replaced' } })
  t.ok(one('code'))
  t.equal(warnings.length, 3)
})

t.test('gRPC: messages are counted while the stream lives, the status when it ends', async t => {
  const { services, one, samples, stream, finish } = setup({ tcp_reporting_duration: 100 })
  const counts = new GrpcMessageCounts()
  const headers = request({ ':method': 'POST', 'content-type': 'application/grpc' })
  const s = stream(info => info.setState('envoy.filters.http.grpc_stats', counts), headers)
  counts.request = 2
  services.timers.advance(100)
  t.notOk(
    samples().some(x => x.name === 'request_messages_total'),
    'the peer is not known yet',
  )
  s.info.setState('upstream_peer_obj', new WorkloadMetadata({ workload: 'w' }))
  services.timers.advance(100)
  t.match(one('request_messages_total'), { value: 2, tags: { destination_workload: 'w' } })
  counts.request = 3
  counts.response = 1
  Object.assign(s, { responseTrailers: response(0, { 'grpc-status': '5' }) })
  finish(s)
  t.equal(one('request_messages_total').value, 3)
  t.equal(one('response_messages_total').value, 1)
  t.match(one('requests_total').tags, { request_protocol: 'grpc', grpc_response_status: '5' })
  services.timers.advance(1000)
  t.equal(one('request_messages_total').value, 3, 'no timer is left')
})

t.test('gRPC: without an interval there are no reports before the end', async t => {
  const { services, one, samples, stream, finish } = setup({ tcp_reporting_duration: 0 })
  const counts = new GrpcMessageCounts()
  const headers = request({ ':method': 'POST', 'content-type': 'application/grpc' })
  const s = stream(info => {
    info.setState('envoy.filters.http.grpc_stats', counts)
    info.setState('upstream_peer_obj', new WorkloadMetadata({ workload: 'w' }))
  }, headers)
  counts.request = 2
  services.timers.advance(100)
  t.strictSame(
    samples().filter(x => x.name === 'request_messages_total'),
    [],
  )
  finish(s)
  t.equal(one('request_messages_total').value, 2)
})

t.test(
  'a stat with tags is shown as one name, and in Prometheus with its labels and without the namespace',
  async t => {
    const raw = taggedName('istiocustom.istio_x', ['a', '1.2', 'empty', '', 'b', 'q"\x01y'])
    const { display, tagged } = readTagged(raw)
    t.equal(display, 'istiocustom.istio_x.a.1.2.empty.b.q"_y')
    const tags = new TagExtractor(true)
    tags.explicit = new Map([[display, tagged]])
    const snapshot = { counters: [{ name: display, value: 3, used: true }], gauges: [], histograms: [], texts: [] }
    const options = { usedOnly: false, textReadouts: false, filter: () => true, histograms: 'cumulative' as const }
    t.equal(prometheusText(snapshot, tags, options), '# TYPE istio_x counter\nistio_x{a="1.2",empty="",b="q\\"_y"} 3\n')
  },
)

t.test('ALPN by what is spoken to the upstream, unless the cluster says no', async t => {
  const config = istioAlpnFactory.parse(
    {
      alpn_override: [
        { alpn_override: ['one'] },
        { upstream_protocol: 'HTTP11', alpn_override: ['istio-http/1.1', 'http/1.1'] },
        { upstream_protocol: 'HTTP2', alpn_override: ['istio-h2'] },
      ],
    },
    FieldPath.root(),
    [],
  )
  const filter = istioAlpnFactory.create(config, new FakeServices().asServices)
  const chosen = (protocol: string, downstream = 'HTTP/1.1', metadata: object | null = null) => {
    const s = new FakeStream(filter, new FakeServices())
    s.info.protocol = downstream
    Object.assign(s, { cluster: { config: { http: { protocol } }, metadata }, upstreamAlpn: null })
    s.decode(request())
    return (s as unknown as { upstreamAlpn: { protocols: string[] } | null }).upstreamAlpn?.protocols
  }
  t.same(chosen('http1'), ['istio-http/1.1', 'http/1.1'])
  t.same(chosen('http2'), ['istio-h2'])
  t.same(chosen('auto'), ['istio-h2'])
  t.same(chosen('downstream', 'HTTP/2'), ['istio-h2'])
  t.same(chosen('downstream', 'HTTP/1.0'), ['one'])
  t.equal(chosen('http1', 'HTTP/1.1', { istio: { alpn_override: 'false' } }), undefined)
})

import { readFileSync } from 'node:fs'
import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { decodeStruct, encodeStruct, type StructFields } from '../../../src/config/struct-wire.ts'
import { peerMetadataFactory } from '../../../src/http/filters/peer-metadata.ts'
import type { Connection } from '../../../src/io/connection.ts'
import { metadataExchangeFactory } from '../../../src/network/filters/metadata-exchange.ts'
import { networkPeerMetadataFactory } from '../../../src/network/filters/peer-metadata.ts'
import { RESPONSE_HEADERS, TunnelHeaders } from '../../../src/network/tcp-tunnel.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import {
  ownWorkload,
  WorkloadMetadata,
  workloadOfBaggage,
  workloadOfEndpoint,
  workloadOfStruct,
} from '../../../src/telemetry/workload-metadata.ts'
import { upstreamMetadataExchangeFactory } from '../../../src/upstream/filters/metadata-exchange.ts'
import { upstreamPeerMetadataFactory } from '../../../src/upstream/filters/peer-metadata.ts'
import type { Host } from '../../../src/upstream/upstream.ts'
import { FakeServices, FakeStream, request, response } from '../http/fakes.ts'

const NO_CHAIN = { continueReading() {}, upstreamConnected() {} }

const SAMPLE = readFileSync(new URL('../../fixtures/istio/peer-metadata.txt', import.meta.url), 'utf8').trim()
const NODE = {
  id: 'sidecar~10.0.0.1~sleep.demo~demo.svc.cluster.local',
  cluster: 'sleep.demo',
  region: 'eu',
  zone: 'eu-1',
  subZone: '',
  metadata: {
    NAME: 'sleep-1',
    NAMESPACE: 'demo',
    WORKLOAD_NAME: 'sleep',
    CLUSTER_ID: 'Kubernetes',
    OWNER: 'kubernetes://apis/apps/v1/namespaces/demo/deployments/sleep',
    LABELS: { app: 'sleep', 'service.istio.io/canonical-name': 'sleep', role: 'client' },
  },
}

function withCluster(s: FakeStream, cluster: object | null = null): FakeStream {
  return Object.assign(s, { cluster })
}

function servicesWithNode(): FakeServices {
  const services = new FakeServices()
  return Object.assign(services, { node: NODE })
}

t.test('a Struct survives both ways, and broken bytes are refused', async t => {
  const struct: StructFields = { b: 'x', a: [1.5, true, null, 'é', { in: {} }], z: { k: -1 } }
  const bytes = encodeStruct(struct)
  t.same(decodeStruct(bytes), struct)
  t.ok(bytes.indexOf('a') < bytes.indexOf('b'), 'sorted by name')
  for (let i = 1; i < bytes.length; i++) {
    try {
      decodeStruct(bytes.subarray(0, i))
    } catch (e) {
      t.ok(e instanceof Error)
    }
  }
  let deep: StructFields = {}
  for (let i = 0; i < 60; i++) deep = { d: deep }
  t.throws(() => decodeStruct(encodeStruct(deep)), /too deeply/)
})

t.test('baggage tells workload, service and app', async t => {
  const fields = (baggage: string) => (name: string) => workloadOfBaggage(baggage).field(name)
  const deployment = fields(
    'k8s.deployment.name=foo,k8s.cluster.name=my-cluster,k8s.namespace.name=default,service.name=foo-service,service.version=v1alpha3,app.name=foo-app,app.version=latest',
  )
  t.same(
    ['service', 'revision', 'type', 'workload', 'name', 'namespace', 'cluster', 'app', 'version'].map(deployment),
    ['foo-service', 'v1alpha3', 'deployment', 'foo', '', 'default', 'my-cluster', 'foo-app', 'latest'],
  )
  const pod = fields('k8s.pod.name=p,k8s.instance.name=i,service.name=s,service.version=v')
  t.same(['type', 'workload', 'name', 'app', 'version'].map(pod), ['pod', 'p', 'i', 's', 'v'])
  const app = fields('app.name=a,app.version=1')
  t.same(['service', 'revision', 'type'].map(app), ['a', '1', 'unknown'])
})

t.test('a workload prints itself as the real object does', async t => {
  const own = ownWorkload(NODE, ['role', 'absent'])
  t.equal(
    own.toString(),
    'type=deployment,workload=sleep,name=sleep-1,cluster=Kubernetes,namespace=demo,service=sleep,app=sleep,region=eu,availability_zone=eu-1,labels[]role=client',
  )
  t.equal(
    own.baggage(),
    'k8s.deployment.name=sleep,service.name=sleep,k8s.namespace.name=demo,k8s.cluster.name=Kubernetes,k8s.instance.name=sleep-1,cloud.region=eu,cloud.availability_zone=eu-1',
  )
  t.same(workloadOfStruct(own.toStruct(), ['role']).fields, own.fields)
  t.same(own.toJSON()['labels'], { role: 'client' })
})

t.test('endpoint metadata has five parts', async t => {
  t.match(workloadOfEndpoint('w;ns;svc;v1;c')!.fields, {
    workload: 'w',
    namespace: 'ns',
    canonicalName: 'svc',
    canonicalRevision: 'v1',
    cluster: 'c',
  })
  t.equal(workloadOfEndpoint('w;ns;svc'), null)
})

t.test(
  'HTTP: the client is read from its headers, which go no further; it is told who we are because it asked',
  async t => {
    const services = servicesWithNode()
    const config = {
      downstream_discovery: [{ istio_headers: {} }, { workload_discovery: {} }],
      downstream_propagation: [{ istio_headers: {} }],
    }
    const filter = peerMetadataFactory.create(
      peerMetadataFactory.parse(config, FieldPath.root(), []),
      services.asServices,
    )
    const s = withCluster(new FakeStream(filter, services))
    const h = request({ 'x-envoy-peer-metadata-id': 'peer', 'x-envoy-peer-metadata': SAMPLE })
    s.decode(h)
    t.same(h.list, [])
    const peer = s.info.state('downstream_peer_obj') as WorkloadMetadata
    t.match(peer.fields, {
      cluster: 'client-cluster',
      workload: 'productpage-v1',
      app: 'productpage',
      version: 'v1',
      canonicalName: 'productpage-v1',
      canonicalRevision: 'version-1',
      namespace: 'default',
      type: 'deployment',
    })
    t.equal(s.info.state('downstream_peer'), peer)
    const answer = response(200)
    filter.encodeHeaders!(s.asContext, answer, true)
    t.equal(answer.get('x-envoy-peer-metadata-id'), NODE.id)
    const own = workloadOfStruct(decodeStruct(Buffer.from(answer.get('x-envoy-peer-metadata')!, 'base64')), [])
    t.equal(own.fields.workload, 'sleep')
    const other = withCluster(new FakeStream(filter, services))
    other.decode(request())
    const plain = response(200)
    filter.encodeHeaders!(other.asContext, plain, true)
    t.same(plain.list, [], 'who does not ask is told nothing')
  },
)

t.test('HTTP: upstreams are told who we are, unless they are outside the mesh', async t => {
  const services = servicesWithNode()
  const make = (skip: boolean) =>
    peerMetadataFactory.create(
      peerMetadataFactory.parse(
        {
          upstream_discovery: [{ istio_headers: {} }],
          upstream_propagation: [{ istio_headers: { skip_external_clusters: skip } }, { baggage: {} }],
        },
        FieldPath.root(),
        [],
      ),
      services.asServices,
    )
  const told = (cluster: object | null, skip = true): boolean => {
    const filter = make(skip)
    const s = withCluster(new FakeStream(filter, services), cluster)
    const h = request()
    s.decode(h)
    t.ok(h.has('baggage'))
    return h.has('x-envoy-peer-metadata') && h.has('x-envoy-peer-metadata-id')
  }
  t.ok(told(null))
  t.ok(told({ name: 'c', metadata: { istio: {} } }))
  t.notOk(told({ name: 'c', metadata: { istio: { external: true } } }))
  t.ok(told({ name: 'c', metadata: { istio: { external: true } } }, false))
  t.notOk(told({ name: 'c', metadata: { istio: { disable_mx: true } } }, false))
  t.notOk(told({ name: 'PassthroughCluster', metadata: null }))
  const filter = make(false)
  const s = withCluster(new FakeStream(filter, services))
  s.decode(request())
  const answer = response(200, { 'x-envoy-peer-metadata': SAMPLE, 'x-envoy-peer-metadata-id': 'p' })
  filter.encodeHeaders!(s.asContext, answer, true)
  t.same(answer.list, [])
  t.equal((s.info.state('upstream_peer') as WorkloadMetadata).fields.workload, 'productpage-v1')
})

t.test('HTTP: metadata that cannot be read is no peer', async t => {
  const services = servicesWithNode()
  const filter = peerMetadataFactory.create(
    peerMetadataFactory.parse({ downstream_discovery: [{ istio_headers: {} }] }, FieldPath.root(), []),
    services.asServices,
  )
  for (const bad of ['', 'AAAA', SAMPLE.slice(0, 100)]) {
    const s = withCluster(new FakeStream(filter, services))
    s.decode(request({ 'x-envoy-peer-metadata': bad }))
    t.equal(s.info.state('downstream_peer'), undefined, bad.slice(0, 8))
  }
})

/** The part of a connection that the exchange uses. */
class Wire {
  streamInfo: StreamInfo | null = null
  prelude: Connection['prelude'] = null
  readonly tls: { alpn: string } | null
  readonly encrypted = false
  remote = { ip: '10.0.0.8', port: 1, text: '10.0.0.8:1' }
  written = Buffer.alloc(0)

  constructor(alpn: string | null) {
    this.tls = alpn === null ? null : { alpn }
  }

  write(bytes: Uint8Array): number {
    this.written = Buffer.concat([this.written, bytes])
    return 0
  }

  get asConnection(): Connection {
    return this as unknown as Connection
  }

  /** What the handler would get. */
  receive(bytes: Uint8Array, end = false): string | null {
    if (this.prelude === null) return Buffer.from(bytes).toString()
    const rest = this.prelude.read(this.asConnection, bytes, end)
    return rest === null ? null : Buffer.from(rest).toString()
  }
}

const HOST = { address: { text: '10.0.0.9:80' }, metadata: null } as Host

function exchanges(workloads: Readonly<Record<string, WorkloadMetadata>> = {}) {
  const services = Object.assign(servicesWithNode(), { workloads: { get: (ip: string) => workloads[ip] ?? null } })
  const parse = { protocol: 'istio-peer-exchange', enable_discovery: true }
  const config = metadataExchangeFactory.parse(parse, FieldPath.root(), [])
  const server = metadataExchangeFactory.create(config, services.asServices as never)
  const client = upstreamMetadataExchangeFactory.create(config, services.asServices as never)
  return { services, server, client, count: (name: string) => services.stats.get(`metadata_exchange.${name}`) }
}

t.test('TCP: both sides learn of each other before the first byte of the stream', async t => {
  const { server, client, count } = exchanges()
  const [up, down] = [new Wire('istio-peer-exchange'), new Wire('istio-peer-exchange')]
  server.newInstance(down.asConnection, NO_CHAIN).onConnection(down.asConnection)
  client.onConnected(up.asConnection, HOST)
  t.equal(up.written.readUInt32BE(0), 0x3d230467)
  t.equal(up.written.readUInt32BE(4), up.written.length - 8)
  t.equal(down.receive(Buffer.concat([up.written, Buffer.from('hello')])), 'hello')
  t.equal(up.receive(Buffer.concat([down.written, Buffer.from('welcome')])), 'welcome')
  t.equal((down.streamInfo!.state('downstream_peer_obj') as WorkloadMetadata).fields.workload, 'sleep')
  t.equal((up.streamInfo!.state('upstream_peer_obj') as WorkloadMetadata).fields.namespace, 'demo')
  t.equal(down.receive(Buffer.from('more')), 'more')
  t.equal(count('alpn_protocol_found'), 2)
  t.equal(count('metadata_added'), 2)
})

t.test('TCP: the metadata may come in pieces of any size', async t => {
  const { server, client } = exchanges()
  const up = new Wire('istio-peer-exchange')
  client.onConnected(up.asConnection, HOST)
  const bytes = Buffer.concat([up.written, Buffer.from('x')])
  for (let cut = 1; cut < bytes.length - 1; cut += 7) {
    const down = new Wire('istio-peer-exchange')
    server.newInstance(down.asConnection, NO_CHAIN).onConnection(down.asConnection)
    t.equal(down.receive(bytes.subarray(0, cut)), null)
    t.equal(down.receive(bytes.subarray(cut)), 'x')
    t.ok(down.streamInfo!.state('downstream_peer'))
  }
})

t.test('TCP: without the protocol nothing is exchanged, and the peer is known to be unknown', async t => {
  const { server, count } = exchanges()
  for (const alpn of [null, 'h2']) {
    const down = new Wire(alpn)
    server.newInstance(down.asConnection, NO_CHAIN).onConnection(down.asConnection)
    t.equal(down.written.length, 0)
    t.equal(down.receive(Buffer.from('hi')), 'hi')
    t.equal(down.streamInfo!.state('peer_not_found'), true)
  }
  t.equal(count('alpn_protocol_not_found'), 2)
})

t.test('TCP: a peer that sends something else is passed on untouched', async t => {
  const { server, count } = exchanges()
  const start = () => {
    const down = new Wire('istio-peer-exchange')
    server.newInstance(down.asConnection, NO_CHAIN).onConnection(down.asConnection)
    return down
  }
  const foreign = start()
  t.equal(foreign.receive(Buffer.from('GET / HTTP/1.1')), 'GET / HTTP/1.1')
  t.equal(foreign.streamInfo!.state('peer_not_found'), true)
  t.equal(count('initial_header_not_found'), 1)
  const short = start()
  t.equal(short.receive(Buffer.from('hi'), true), 'hi', 'a stream shorter than the header')
  const huge = start()
  const header = Buffer.from('3d230467ffffffff', 'hex')
  t.equal(Buffer.from(huge.receive(header)!, 'utf8').length > 0, true, 'gigabytes are not waited for')
  const broken = start()
  const bad = Buffer.from('3d23046700000002ffff', 'hex')
  t.equal(broken.receive(Buffer.concat([bad, Buffer.from('rest')])), 'rest')
  t.equal(count('header_not_found'), 1)
})

const workload = (name: string) => new WorkloadMetadata({ workload: name, namespace: 'demo', type: 'deployment' })

t.test('TCP: a client that takes no part is known by its address, and so is the server it is given to', async t => {
  const { server, count } = exchanges({ '10.0.0.8': workload('sleep'), '10.0.0.9': workload('httpbin') })
  const down = new Wire(null)
  const filter = server.newInstance(down.asConnection, NO_CHAIN)
  filter.onConnection(down.asConnection)
  const info = down.streamInfo!
  t.equal((info.state('downstream_peer_obj') as WorkloadMetadata).fields.workload, 'sleep')
  t.equal(info.state('peer_not_found'), undefined)
  t.equal(count('metadata_added'), 1)
  t.equal(info.state('upstream_peer_obj'), undefined, 'nobody is chosen yet')
  info.upstreamHost = '10.0.0.9:9000'
  filter.onUpstreamConnected!(down.asConnection)
  t.equal((info.state('upstream_peer_obj') as WorkloadMetadata).fields.workload, 'httpbin')
})

t.test('TCP: a server behind a tunnel is known, of a client that is not', async t => {
  const { server } = exchanges({ '10.0.0.9': workload('httpbin') })
  const down = new Wire(null)
  const filter = server.newInstance(down.asConnection, NO_CHAIN)
  filter.onConnection(down.asConnection)
  t.equal(down.streamInfo!.state('peer_not_found'), true, 'the client is nobody')
  down.streamInfo!.upstreamHost = 'envoy://connect_originate/10.0.0.9:9000'
  const tunnel = { 'envoy.filters.listener.original_dst': { local: '10.0.0.9:9000' } }
  down.streamInfo!.hostMetadata = tunnel
  filter.onUpstreamConnected!(down.asConnection)
  t.equal((down.streamInfo!.state('upstream_peer') as WorkloadMetadata).fields.workload, 'httpbin')
})

t.test('TCP: an upstream that takes no part is known by its address, or by where its tunnel leads', async t => {
  const { client } = exchanges({ '10.0.0.9': workload('httpbin'), '::1': workload('six') })
  const found = (host: object): string | undefined => {
    const up = new Wire(null)
    client.onConnected(up.asConnection, host as Host)
    return (up.streamInfo!.state('upstream_peer_obj') as WorkloadMetadata | undefined)?.fields.workload
  }
  t.equal(found(HOST), 'httpbin')
  t.equal(found({ address: { text: '[::1]:80' }, metadata: null }), 'six')
  const tunnel = { text: 'envoy://connect_originate/x' }
  const metadata = { 'envoy.filters.listener.original_dst': { local: '10.0.0.9:9000' } }
  t.equal(found({ address: tunnel, metadata }), 'httpbin')
  t.equal(found({ address: tunnel, metadata: null }), undefined)
})

t.test('TCP: without enable_discovery nobody is looked up', async t => {
  const services = Object.assign(servicesWithNode(), { workloads: { get: () => workload('sleep') } })
  const config = metadataExchangeFactory.parse({ protocol: 'istio-peer-exchange' }, FieldPath.root(), [])
  const down = new Wire(null)
  const filter = metadataExchangeFactory.create(config, services.asServices as never)
  filter.newInstance(down.asConnection, NO_CHAIN).onConnection(down.asConnection)
  t.equal(down.streamInfo!.state('peer_not_found'), true)
})

function discovering(direction: 'downstream_discovery' | 'upstream_discovery', more: object = {}) {
  const known: Record<string, WorkloadMetadata> = { '10.0.0.8': workload('sleep'), '10.0.0.9': workload('httpbin') }
  const services = Object.assign(servicesWithNode(), { workloads: { get: (ip: string) => known[ip] ?? null } })
  const proto = { [direction]: [{ istio_headers: {} }, { workload_discovery: {} }], ...more }
  const config = peerMetadataFactory.parse(proto, FieldPath.root(), [])
  const filter = peerMetadataFactory.create(config, services.asServices)
  const s = withCluster(new FakeStream(filter, services))
  return { s, filter }
}

t.test('HTTP: the client is known by the address it comes from, unless that is of another network', async t => {
  const sees = (ip: string, headers: Record<string, string> = {}): string | undefined => {
    const { s, filter } = discovering('downstream_discovery')
    s.info.client = { ip, port: 1, text: `${ip}:1` }
    filter.decodeHeaders!(s.asContext, request(headers), true)
    return (s.info.state('downstream_peer_obj') as WorkloadMetadata | undefined)?.fields.workload
  }
  t.equal(sees('10.0.0.8'), 'sleep')
  t.equal(sees('10.0.0.7'), undefined)
  t.equal(sees('10.0.0.8', { 'x-forwarded-network': 'other' }), undefined)
  t.equal(sees('10.0.0.8', { 'x-forwarded-network': '' }), 'sleep', 'the network without a name is this one')
})

t.test('HTTP: the server is known by its address, by where its tunnel leads, and not behind a gateway', async t => {
  const sees = (host: string, metadata: Record<string, unknown> | null): string | undefined => {
    const { s, filter } = discovering('upstream_discovery')
    s.info.upstreamHost = host
    s.info.hostMetadata = metadata
    filter.encodeHeaders!(s.asContext, response(200), true)
    return (s.info.state('upstream_peer_obj') as WorkloadMetadata | undefined)?.fields.workload
  }
  const tunnel = { 'envoy.filters.listener.original_dst': { local: '10.0.0.9:80' } }
  t.equal(sees('10.0.0.9:80', null), 'httpbin')
  t.equal(sees('envoy://connect_originate/10.0.0.9:80', tunnel), 'httpbin')
  t.equal(sees('envoy://connect_originate/10.0.0.9:80', { ...tunnel, istio: { double_hbone: {} } }), undefined)
  t.equal(sees('', null), undefined, 'nobody was asked')
})

function tunnelFilters() {
  const services = servicesWithNode()
  const up = upstreamPeerMetadataFactory.create(null, services.asServices as never)
  const config = networkPeerMetadataFactory.parse({ baggage_key: 'io.istio.baggage' }, FieldPath.root(), [])
  const down = networkPeerMetadataFactory.create(config, services.asServices as never)
  return { up, down }
}

const TUNNEL_HOST = {
  address: { text: 'envoy://connect_originate/x', internal: { listener: 'connect_originate', endpointId: 'x' } },
  metadata: null,
  cluster: { metadata: null },
} as unknown as Host

/** What the listener of a tunnel writes when CONNECT was answered with these headers. */
function preambleOf(headers: Record<string, string>, metadata: Record<string, Record<string, unknown>> | null = null) {
  const wire = new Wire(null)
  const filter = tunnelFilters().down.newInstance(wire.asConnection, NO_CHAIN)
  filter.onConnection(wire.asConnection)
  wire.streamInfo!.dynamicMetadata = metadata
  wire.streamInfo!.setState(RESPONSE_HEADERS, new TunnelHeaders(response(200, headers)))
  filter.onUpstreamConnected!(wire.asConnection)
  return { wire, bytes: wire.written }
}

t.test(
  'tunnel: the request says who we are, the answer who is there, ahead of the stream and in pieces of any size',
  async t => {
    const { wire, bytes } = preambleOf({ baggage: 'k8s.deployment.name=far,k8s.namespace.name=demo' })
    t.match(wire.streamInfo!.state('io.istio.baggage'), /^k8s\.deployment\.name=sleep,/)
    const all = Buffer.concat([bytes, Buffer.from('HTTP/1.1 200 OK')])
    for (let cut = 1; cut < bytes.length; cut += 5) {
      const up = new Wire(null)
      tunnelFilters().up.onConnected(up.asConnection, TUNNEL_HOST)
      t.equal(up.receive(all.subarray(0, cut)), null)
      t.equal(up.receive(all.subarray(cut)), 'HTTP/1.1 200 OK')
      t.match((up.streamInfo!.state('upstream_peer') as WorkloadMetadata).fields, {
        workload: 'far',
        type: 'deployment',
      })
    }
  },
)

t.test('tunnel: an answer that says nothing is a peer that is not known', async t => {
  const up = new Wire(null)
  tunnelFilters().up.onConnected(up.asConnection, TUNNEL_HOST)
  t.equal(up.receive(Buffer.concat([preambleOf({}).bytes, Buffer.from('hi')])), 'hi')
  t.equal(up.streamInfo!.state('peer_not_found'), true)
})

t.test('tunnel: a stream without the preamble is passed on untouched', async t => {
  const start = (): Wire => {
    const up = new Wire(null)
    tunnelFilters().up.onConnected(up.asConnection, TUNNEL_HOST)
    return up
  }
  t.equal(start().receive(Buffer.from('HTTP/1.1 200 OK')), 'HTTP/1.1 200 OK')
  t.equal(start().receive(Buffer.from('hi'), true), 'hi')
  const huge = Buffer.from('3412cdabffffffff', 'hex')
  t.equal(start().receive(huge)!.length > 0, true, 'gigabytes are not waited for')
  const broken = Buffer.concat([Buffer.from('3412cdab02000000ffff', 'hex'), Buffer.from('rest')])
  t.equal(start().receive(broken), 'rest')
})

t.test('tunnel: what is no tunnel, or is told not to, has nothing ahead of its streams', async t => {
  const off = { 'istio.peer_metadata': { disable_baggage_discovery: true } }
  t.equal(preambleOf({ baggage: 'k8s.deployment.name=far' }, off).bytes.length, 0)
  for (const host of [
    { ...TUNNEL_HOST, address: { text: '10.0.0.9:80' } },
    {
      ...TUNNEL_HOST,
      address: { text: 'envoy://main_internal/', internal: { listener: 'main_internal', endpointId: '' } },
    },
    { ...TUNNEL_HOST, metadata: off },
    { ...TUNNEL_HOST, cluster: { metadata: off } },
  ]) {
    const up = new Wire(null)
    tunnelFilters().up.onConnected(up.asConnection, host as Host)
    t.equal(up.prelude, null)
  }
})

t.test('HTTP: upstream_filter_state finds what the tunnel of the upstream connection has learned', async t => {
  const services = servicesWithNode()
  const warnings: string[] = []
  const method = { upstream_filter_state: { peer_metadata_key: 'upstream_peer' } }
  const proto = { upstream_discovery: [{ workload_discovery: {} }, method], downstream_discovery: [method] }
  const filter = peerMetadataFactory.create(
    peerMetadataFactory.parse(proto, FieldPath.root(), warnings),
    services.asServices,
  )
  t.match(warnings, [/upstream_filter_state tells nothing of downstream peers/])
  const s = withCluster(new FakeStream(filter, services))
  s.info.upstream = new StreamInfo()
  s.info.upstream.setState('upstream_peer', workload('far'))
  filter.encodeHeaders!(s.asContext, response(200), true)
  t.equal((s.info.state('upstream_peer_obj') as WorkloadMetadata).fields.workload, 'far')
})

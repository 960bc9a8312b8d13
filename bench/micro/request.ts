/**
 * A whole request through a worker's code without sockets: connection manager, filters, router, pool, codecs, access log.
 * `node bench/micro/request.ts [configuration …]`; nothing of the kernel's noise is in these figures.
 */
import { systemClock } from '../../src/base/clock.ts'
import { XorShift } from '../../src/base/random.ts'
import { type TimerLoop, TimerWheel } from '../../src/base/timer-wheel.ts'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { parseCluster } from '../../src/config/cluster.ts'
import { FieldPath } from '../../src/config/field-path.ts'
import type { envoy } from '../../src/config/gen/messages.d.ts'
import { loadBootstrap } from '../../src/config/load.ts'
import type { CallOuts, NodeInfo } from '../../src/config/services.ts'
import { encodeStruct } from '../../src/config/struct-wire.ts'
import { registerExtensions } from '../../src/extensions.ts'
import { ipAddress } from '../../src/io/address.ts'
import { type Address, type Connection, type ConnectionHandler, Flow } from '../../src/io/connection.ts'
import type { NetworkFilter } from '../../src/network/filter.ts'
import type { NetworkFilterServices } from '../../src/network/filter-factory.ts'
import { httpConnectionManagerFactory } from '../../src/network/filters/http-connection-manager.ts'
import { clusterParser } from '../../src/server/cluster-parser.ts'
import { Slab } from '../../src/stats/slab.ts'
import { ownWorkload } from '../../src/telemetry/workload-metadata.ts'
import type { ClusterConfig } from '../../src/upstream/cluster-config.ts'
import { WorkerClusterManager } from '../../src/upstream/cluster-manager.ts'
import { BuiltinCodecs } from '../../src/upstream/codecs.ts'
import { CLUSTER_BLOCK, HOST_BLOCK, SharedPages, SharedStateAllocator } from '../../src/upstream/shared-state.ts'
import { RuntimeView } from '../../src/worker/runtime.ts'
import type { Configuration } from '../load/configurations/configuration.ts'
import { ISTIO_INBOUND, ISTIO_OUTBOUND } from '../load/configurations/istio.ts'
import { HTTP1, HTTP2_BOTH } from '../load/configurations/plain-http.ts'
import type { Sites } from '../load/sites.ts'
import { measure } from './reference.ts'

const NO_CHAIN = { continueReading() {}, upstreamConnected() {} }

type Tracer = readonly [typeName: string, message: object]

const TRACE = 'type.googleapis.com/envoy.config.trace.v3.'
const HTTP_URI = { uri: 'http://collector/', cluster: 'collector', timeout: 1000 }
const ZIPKIN: Tracer = [
  'ZipkinConfig',
  { collector_endpoint_version: 'HTTP_JSON', trace_id_128bit: true, collector_service: { http_uri: HTTP_URI } },
]
const OTLP: Tracer = ['OpenTelemetryConfig', { http_service: { http_uri: HTTP_URI }, service_name: 'bench' }]

/** What Istio adds for telemetry, with the headers by which its peers know each other; the stock Envoy has no such filters. */
const MESH = 'mesh'

/** `more`: with a tracer, and so many per cent of the requests sampled; or with Istio's own filters. */
const CASES: readonly (readonly [
  name: string,
  configuration: Configuration,
  host: string,
  more?: [Tracer, number] | typeof MESH,
])[] = [
  ['http1', HTTP1, 'bench.test'],
  ['istio-inbound', ISTIO_INBOUND, 'bench.test'],
  ['istio-outbound', ISTIO_OUTBOUND, ISTIO_OUTBOUND.checks.host],
  ['istio-inbound-mesh', ISTIO_INBOUND, 'bench.test', MESH],
  ['istio-outbound-mesh', ISTIO_OUTBOUND, ISTIO_OUTBOUND.checks.host, MESH],
  ['http2-both', HTTP2_BOTH, 'bench.test'],
  ['istio-inbound-zipkin-1', ISTIO_INBOUND, 'bench.test', [ZIPKIN, 1]],
  ['istio-inbound-otlp-1', ISTIO_INBOUND, 'bench.test', [OTLP, 1]],
  ['istio-inbound-otlp-100', ISTIO_INBOUND, 'bench.test', [OTLP, 100]],
]
const CONNECTIONS = 32
const ROUND = 20_000

const LOCAL = ipAddress('127.0.0.1', 10_000)
const NOBODY: ConnectionHandler = { onData() {}, onClose() {} }
const SITES: Sites = {
  listen: 10_000,
  admin: 10_001,
  log: '/dev/null',
  folder: '/tmp',
  workers: 1,
  upstreams: { http1: 1, http2: 2, mutualTls: 3, stub: 4, hold: 5, grpc: 6, tcp: 7, xds: 8, xdsControl: 9 },
  certificates: null,
}
const NODE: NodeInfo = {
  id: 'sidecar~10.0.0.1~bench-7d9c5b8f6-x2x9p.demo~demo.svc.cluster.local',
  cluster: 'bench.demo',
  region: '',
  zone: '',
  subZone: '',
  metadata: {
    NAME: 'bench-7d9c5b8f6-x2x9p',
    NAMESPACE: 'demo',
    WORKLOAD_NAME: 'bench',
    CLUSTER_ID: 'Kubernetes',
    ISTIO_VERSION: '1.32.0',
    OWNER: 'kubernetes://apis/apps/v1/namespaces/demo/deployments/bench',
    LABELS: {
      app: 'bench',
      version: 'v1',
      'service.istio.io/canonical-name': 'bench',
      'service.istio.io/canonical-revision': 'v1',
    },
  },
}
const PEER =
  `x-envoy-peer-metadata: ${encodeStruct(ownWorkload(NODE, []).toStruct()).toString('base64')}\r\n` +
  `x-envoy-peer-metadata-id: ${NODE.id}\r\n`

/** As nginx answers; `fields`: further ones. */
function responseWith(fields: string): Buffer {
  return Buffer.from(
    'HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 09:00:00 GMT\r\nContent-Type: text/plain\r\n' +
      `Content-Length: 20\r\nConnection: keep-alive\r\n${fields}\r\nhello from upstream\n`,
    'latin1',
  )
}

/** In front of the router: peers tell of themselves in requests to the inbound side, in answers to the outbound side. */
function withMeshFilters(yaml: string, inbound: boolean): string {
  const side = inbound ? 'downstream' : 'upstream'
  const config = `{"${side}_discovery": [{"istio_headers": {}}], "${side}_propagation": [{"istio_headers": {}}]}`
  const filter = (name: string, type: string, body: string): string =>
    `- {"name": "${name}", "typed_config": {"@type": "type.googleapis.com/${type}", ${body.slice(1)}}\n`
  return yaml.replace(
    /^( *)- name: envoy\.filters\.http\.router$/m,
    (router, indent: string) =>
      `${indent}${filter('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config', config)}` +
      `${indent}${filter('istio.stats', 'stats.PluginConfig', '{"disable_host_header_fallback": false}')}${router}`,
  )
}

const wire = Buffer.allocUnsafeSlow(65536)

/** A connection whose bytes are a string; what one side writes in a turn is one chunk for the other. */
class FakeConnection implements Connection {
  readonly id: number
  readonly directRemote: Address
  readonly directLocal = LOCAL
  remote: Address
  local = LOCAL
  readonly localRestored = false
  readonly requestedServerName = ''
  readonly applicationProtocols: readonly string[] = []
  readonly transportProtocol = ''
  readonly encrypted = false
  readonly tls = null
  readonly transportFailure = ''
  readonly inspectorFailure = ''
  handler: ConnectionHandler
  streamInfo: Connection['streamInfo'] = null
  prelude: Connection['prelude'] = null
  readonly bufferedBytes = 0
  readonly closed = false
  readHolds = 0
  bytesReceived = 0
  bytesSent = 0
  readonly startTime = 0
  readonly connectEnd = 0
  text = ''

  constructor(id: number, remote: Address, handler: ConnectionHandler) {
    this.id = id
    this.directRemote = remote
    this.remote = remote
    this.handler = handler
  }

  write(data: Uint8Array | string): Flow {
    this.text += typeof data === 'string' ? data : (data as Buffer).latin1Slice(0, data.length)
    this.bytesSent += data.length
    return Flow.Continue
  }

  holdReading(bit: number, hold: boolean): void {
    this.readHolds = hold ? this.readHolds | bit : this.readHolds & ~bit
  }

  setWatermarks(): void {}
  setDelayedCloseTimeout(): void {}
  setKeepAlive(): void {}
  end(): void {}
  close(): void {
    throw new Error('closed')
  }
}

class World implements TimerLoop {
  refused = 0
  readonly #wheel = new TimerWheel(systemClock, this)
  protected readonly downstream: FakeConnection[] = []
  /** Connections to the upstream, in the order in which they were made; those written to in this turn have text. */
  protected readonly upstream: FakeConnection[] = []
  readonly #request: Buffer
  readonly #response: Buffer

  constructor(configuration: Configuration, host: string, more: [Tracer, number] | typeof MESH | null) {
    const inbound = configuration === ISTIO_INBOUND
    const mesh = more === MESH
    const traced = more === MESH ? null : more
    const yaml = configuration.envoy(SITES)
    this.#request = Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\n${mesh && inbound ? PEER : ''}\r\n`, 'latin1')
    this.#response = responseWith(mesh && !inbound ? PEER : '')
    const { message } = loadBootstrap({ yaml: mesh ? withMeshFilters(yaml, inbound) : yaml })
    const at = FieldPath.root('bench')
    const { listeners, clusters } = message.static_resources!
    const filter = listeners![0]!.filter_chains![0]!.filters![0]!
    const proto = (filter.typed_config as unknown as { message: object }).message
    const factory = httpConnectionManagerFactory.create(
      httpConnectionManagerFactory.parse(traced === null ? proto : { ...proto, tracing: tracingOf(traced) }, at, []),
      this.#services(clusters!, mesh ? (inbound ? 'INBOUND' : 'OUTBOUND') : 'UNSPECIFIED'),
    )
    for (let i = 0; i < CONNECTIONS; i++) {
      const connection = new FakeConnection(i, ipAddress('127.0.0.1', 40_000 + i), NOBODY)
      connection.handler = new FilterHandler(factory.newInstance(connection, NO_CHAIN))
      this.downstream.push(connection)
    }
  }

  wakeIn(): void {}
  keepAlive(): void {}
  atEndOfTurn(): void {}

  /** One turn: a request on every connection is read, then every answer of the upstream. */
  run(requests: number): void {
    for (let done = 0; done < requests; done += CONNECTIONS) {
      for (let i = 0; i < CONNECTIONS; i++) {
        const c = this.downstream[i]!
        c.bytesReceived += this.#request.length
        c.handler.onData(c, this.#request, false)
      }
      this.turn()
      for (let i = 0; i < this.upstream.length; i++) {
        const c = this.upstream[i]!
        if (c.text === '') continue
        flattened(c.text)
        c.text = ''
        c.bytesReceived += this.#response.length
        c.handler.onData(c, this.#response, false)
      }
      this.turn()
      for (let i = 0; i < CONNECTIONS; i++) {
        const c = this.downstream[i]!
        if (!c.text.startsWith('HTTP/1.1 200') || !c.text.endsWith('upstream\n')) this.refused++
        flattened(c.text)
        c.text = ''
      }
    }
  }

  /** New connections of the pools are there by the next turn. */
  protected turn(): void {
    this.#wheel.advance()
    this.#wheel.endTurn()
    for (let i = 0; i < this.upstream.length; i++) {
      const c = this.upstream[i]!
      if (c.bytesSent === 0 && c.bytesReceived === 0) c.handler.onConnected?.(c)
    }
  }

  #services(protos: readonly envoy.config.cluster.v3.Cluster[], trafficDirection: string): NetworkFilterServices {
    const configs = new Map<string, ClusterConfig>()
    const parser = clusterParser(() => {})
    for (const proto of protos) {
      const config = parseCluster(proto, FieldPath.root('bench'), parser)
      configs.set(config.name, config)
    }
    const timers = this.#wheel
    const random = new XorShift(1)
    const { root: stats } = new Slab(() => {})
    const runtime = new RuntimeView()
    const pages = new SharedPages()
    const allocator = new SharedStateAllocator(1, index => pages.add(allocator.view(index, 0)))
    const clusters = new WorkerClusterManager(
      {
        load(name) {
          const config = configs.get(name)
          if (config === undefined) return null
          const assignment = config.assignment!
          const localities = assignment.localities.map(l => ({
            ...l,
            hosts: l.hosts.map(h => ({ ...h, block: allocator.allocate(HOST_BLOCK) })),
          }))
          return { config, hosts: { ...assignment, localities }, block: allocator.allocate(CLUSTER_BLOCK) }
        },
      },
      {
        timers,
        random,
        runtime,
        stats,
        pages,
        connector: {
          connect: (address, _options, handler) => {
            const connection = new FakeConnection(1000 + this.upstream.length, address, handler)
            this.upstream.push(connection)
            return connection
          },
        },
        codecs: new BuiltinCodecs(timers),
        locality: null,
        requestEjection: () => {},
        hostsMet: () => {},
        networkFilter: () => {
          throw new Error('none of the configurations has one')
        },
      },
      '',
    )
    return {
      workerIndex: 0,
      concurrency: 1,
      timers,
      clock: systemClock,
      random,
      stats,
      runtime,
      clusters,
      routes: { get: () => null },
      extensions: { generation: 0, get: () => null },
      node: NODE,
      fileFlushInterval: 1000,
      callOuts: COLLECTOR,
      log: () => ({ error: console.error }),
      listenerName: 'ingress',
      listenerAddress: '127.0.0.1_80',
      filterChainName: '',
      drainDecision: { start() {}, closing: () => false },
      listenerMetadata: null,
      filterChainMetadata: null,
      localAddress: '127.0.0.1',
      trafficDirection,
      bufferLimit: 1048576,
      gauges: [],
    } as unknown as NetworkFilterServices
  }
}

/** The same over HTTP/2 on both sides: each connection brings its share of the turn's requests in one read. */
class Http2World extends World {
  readonly #frames: Buffer
  #stream = 1
  /** Requests without an answer. */
  #open = 0

  constructor(configuration: Configuration, host: string) {
    super(configuration, host, null)
    // GET, http, / and the authority as a literal, as h2load sends them the first time.
    const block = Buffer.concat([Buffer.from([0x82, 0x86, 0x84, 0x01, host.length]), Buffer.from(host)])
    this.#frames = Buffer.concat(Array.from({ length: STREAMS }, () => frame(1, 5, block)))
    const window = Buffer.from([0x3f, 0xff, 0xff, 0xff])
    const start = Buffer.concat([
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(4, 0, Buffer.alloc(0)),
      frame(8, 0, window),
    ])
    for (const c of this.downstream) {
      c.handler.onData(c, start, false)
      c.text = ''
    }
  }

  override run(requests: number): void {
    const each = this.#frames.length / STREAMS
    for (let done = 0; done < requests; done += STREAMS * HTTP2_CONNECTIONS) {
      for (let i = 0; i < STREAMS; i++) this.#frames.writeUInt32BE(this.#stream + 2 * i, i * each + 5)
      this.#stream += 2 * STREAMS
      for (let i = 0; i < HTTP2_CONNECTIONS; i++) {
        const c = this.downstream[i]!
        c.handler.onData(c, Buffer.from(this.#frames), false)
      }
      this.turn()
      for (const c of this.upstream) {
        const { text } = c
        if (text === '') continue
        // Answers make room for requests that wait.
        c.text = ''
        c.handler.onData(c, answers(text), false)
      }
      this.turn()
      for (let i = 0; i < HTTP2_CONNECTIONS; i++) {
        const c = this.downstream[i]!
        flattened(c.text)
        this.#open += STREAMS + 1 - c.text.split('hello from upstream').length
        c.text = ''
      }
    }
    // Those of the first turn may wait for connections.
    if (this.#open > STREAMS * HTTP2_CONNECTIONS) this.refused = this.#open
  }
}

const HTTP2_CONNECTIONS = 8
const STREAMS = 32

function frame(type: number, flags: number, payload: Buffer, stream = 0): Buffer {
  const out = Buffer.alloc(9 + payload.length)
  out.writeUIntBE(payload.length, 0, 3)
  out[3] = type
  out[4] = flags
  out.writeUInt32BE(stream, 5)
  payload.copy(out, 9)
  return out
}

/** Fields of a response as nginx encodes them: each a literal that enters the table and is never referred to. */
const BLOCK = Buffer.concat([
  Buffer.from([0x88]),
  ...(
    [
      [54, 'nginx/1.22.1'],
      [33, 'Sat, 21 Nov 2026 09:00:00 GMT'],
      [31, 'text/plain'],
      [28, '20'],
    ] as const
  ).map(([name, value]) => Buffer.concat([Buffer.from([0x40 | name, value.length]), Buffer.from(value)])),
])
const ANSWER = Buffer.concat([frame(1, 4, BLOCK), frame(0, 1, Buffer.from('hello from upstream\n'))])
/** SETTINGS, an acknowledgement of ours, and a window that lasts. */
const GREETING = Buffer.concat([
  frame(4, 0, Buffer.alloc(0)),
  frame(4, 1, Buffer.alloc(0)),
  frame(8, 0, Buffer.from([0x3f, 0xff, 0xff, 0xff])),
])

/** An answer to each HEADERS frame in what the proxy has written. */
function answers(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const out: Buffer[] = []
  let at = 0
  if (text.startsWith('PRI ')) {
    at = 24
    out.push(GREETING)
  }
  while (at < bytes.length) {
    if (bytes[at + 3] === 1) {
      const answer = Buffer.from(ANSWER)
      bytes.copy(answer, 5, at + 5, at + 9)
      bytes.copy(answer, 9 + BLOCK.length + 5, at + 5, at + 9)
      out.push(answer)
    }
    at += 9 + bytes.readUIntBE(at, 3)
  }
  return Buffer.concat(out)
}

class FilterHandler implements ConnectionHandler {
  readonly #filter: NetworkFilter

  constructor(filter: NetworkFilter) {
    this.#filter = filter
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): void {
    this.#filter.onData(c, chunk, end)
  }

  onClose(): void {}
}

function tracingOf([[type, message], share]: [Tracer, number]): object {
  const provider = { name: 'bench', typed_config: { type_url: TRACE + type, message } }
  return { provider, random_sampling: { value: share } }
}

/** Answers at once. */
const COLLECTOR: Pick<CallOuts, 'http'> = {
  http(_options, _head, _body, user) {
    const head = new HeaderBlock()
    head.status = 202
    user.onCallDone(head, Buffer.alloc(0), null)
    return { cancel() {} }
  },
}

/** What the write to a socket does to a text of pieces; without it the cost of putting it together would go unseen. */
function flattened(text: string): void {
  wire.latin1Write(text, 0, text.length)
}

registerExtensions()
const wanted = process.argv.slice(2)
for (const [name, configuration, host, more] of CASES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const world =
    configuration === HTTP2_BOTH ? new Http2World(configuration, host) : new World(configuration, host, more ?? null)
  measure(name, () => world.run(ROUND), ROUND)
  if (world.refused > 0) throw new Error(`${world.refused} requests had no good answer`)
}

import type { Random } from '../../../src/base/random.ts'
import type { TimerNode, Timers } from '../../../src/base/timer.ts'
import type { StreamDecoder } from '../../../src/codec/codec.ts'
import { Http1ClientCodec } from '../../../src/codec/http1/client.ts'
import { defaultHttp1Options } from '../../../src/codec/http1/options.ts'
import { UnderscoreAction } from '../../../src/codec/http2/header-receiver.ts'
import { parseHttp1Options, parseHttp2Options } from '../../../src/codec/protocol-options.ts'
import { parseCluster } from '../../../src/config/cluster.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import type { Runtime } from '../../../src/config/services.ts'
import {
  type Address,
  type CloseHow,
  CloseReason,
  type Connection,
  type ConnectionHandler,
  Flow,
  type TlsInfo,
} from '../../../src/io/connection.ts'
import type { Counter, Gauge, Histogram, StatsScope } from '../../../src/stats/stats.ts'
import type { ClusterConfig } from '../../../src/upstream/cluster-config.ts'
import type {
  ClientCodecs,
  Connector,
  Http1Codec,
  Http2Codec,
  UpstreamConnectOptions,
} from '../../../src/upstream/connector.ts'

/** Virtual time: `advance` fires what is due, in order. */
export class FakeTimers implements Timers {
  time = 1000
  private armed: TimerNode[] = []

  arm(node: TimerNode, ms: number): void {
    this.cancel(node)
    node.deadline = this.time + Math.max(0, ms)
    this.armed.push(node)
  }

  suspend(node: TimerNode): void {
    this.cancel(node)
  }

  cancel(node: TimerNode): void {
    this.armed = this.armed.filter(n => n !== node)
    node.deadline = 0
  }

  now(): number {
    return this.time
  }

  advance(ms: number): void {
    const end = this.time + ms
    for (;;) {
      const due = this.armed.filter(n => n.deadline <= end).sort((a, b) => a.deadline - b.deadline)[0]
      if (due === undefined) break
      this.time = Math.max(this.time, due.deadline)
      this.armed = this.armed.filter(n => n !== due)
      due.owner.onTimer(due.kind)
    }
    this.time = end
  }

  get count(): number {
    return this.armed.length
  }

  /** Milliseconds until the next one fires; Infinity when none is armed. */
  get next(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.armed.map(n => n.deadline - this.time))
  }
}

export class FakeStats implements StatsScope {
  readonly values: Map<string, number>
  private readonly prefix: string
  constructor(values = new Map<string, number>(), prefix = '') {
    this.values = values
    this.prefix = prefix
  }

  counter(name: string): Counter {
    return this.cell(name)
  }

  gauge(name: string): Gauge {
    return this.cell(name)
  }

  histogram(name: string): Histogram {
    return this.cell(name)
  }

  scope(prefix: string): StatsScope {
    return new FakeStats(this.values, this.prefix + prefix)
  }

  get(name: string): number {
    return this.values.get(this.prefix + name) ?? 0
  }

  /** All that are not zero, as an object. */
  nonZero(): Record<string, number> {
    const out: Record<string, number> = {}
    for (const [k, v] of this.values) if (v !== 0) out[k] = v
    return out
  }

  private cell(name: string): Gauge & Histogram {
    const key = this.prefix + name
    const values = this.values
    const add = (n: number) => void values.set(key, (values.get(key) ?? 0) + n)
    return {
      inc: () => add(1),
      dec: () => add(-1),
      add,
      set: (n: number) => void values.set(key, n),
      record: () => add(1),
    }
  }
}

export const noRuntime: Runtime = {
  get: () => undefined,
  integer: (_key, value) => value,
  double: (_key, value) => value,
  boolean: (_key, value) => value,
  fraction: (_key, numerator, denominator, random) => random % denominator < numerator,
}

/** Gives the numbers of a list in turn. */
export class FakeRandom implements Random {
  private i = 0
  readonly numbers: readonly number[]
  constructor(...numbers: number[]) {
    this.numbers = numbers.length === 0 ? [0] : numbers
  }

  next(): number {
    return this.next32()
  }

  next32(): number {
    return this.numbers[this.i++ % this.numbers.length]!
  }
}

export class FakeConnection implements Connection {
  static ids = 0
  readonly id = ++FakeConnection.ids
  readonly directRemote: Address
  readonly directLocal: Address = { ip: '127.0.0.1', port: 1, text: '127.0.0.1:1' }
  remote: Address
  local: Address = this.directLocal
  localRestored = false
  requestedServerName = ''
  applicationProtocols: readonly string[] = []
  transportProtocol = ''
  streamInfo: Connection['streamInfo'] = null
  prelude: Connection['prelude'] = null
  readonly encrypted = false
  tls: TlsInfo | null = null
  transportFailure = ''
  readonly inspectorFailure = ''
  handler: ConnectionHandler
  written = ''
  closed = false
  readHolds = 0
  bytesReceived = 0
  bytesSent = 0
  readonly startTime = 0
  readonly connectEnd = 0
  readonly options: UpstreamConnectOptions

  constructor(address: Address, options: UpstreamConnectOptions, handler: ConnectionHandler) {
    this.directRemote = address
    this.remote = address
    this.options = options
    this.handler = handler
  }

  write(data: Uint8Array | string): Flow {
    const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1')
    this.written += text
    this.bytesSent += text.length
    return Flow.Continue
  }

  get bufferedBytes(): number {
    return 0
  }

  setWatermarks(): void {}
  end(): void {}

  close(_how: CloseHow, why: CloseReason = CloseReason.Local): void {
    this.gone(why)
  }

  holdReading(bit: number, hold: boolean): void {
    this.readHolds = hold ? this.readHolds | bit : this.readHolds & ~bit
  }

  setDelayedCloseTimeout(): void {}
  setKeepAlive(): void {}

  // What a test does to it

  connect(alpn = ''): void {
    if (alpn !== '') this.tls = { alpn } as TlsInfo
    this.handler.onConnected?.(this)
  }

  receive(text: string, end = false): void {
    this.handler.onData(this, Buffer.from(text, 'latin1'), end)
  }

  gone(why: CloseReason, failure = ''): void {
    if (this.closed) return
    this.closed = true
    this.transportFailure = failure
    this.handler.onClose(this, why)
  }

  refuse(): void {
    this.gone(CloseReason.ConnectFailed, 'delayed connect error: Connection refused')
  }
}

export class FakeConnector implements Connector {
  readonly made: FakeConnection[] = []

  connect(address: Address, options: UpstreamConnectOptions, handler: ConnectionHandler): Connection {
    const c = new FakeConnection(address, options, handler)
    this.made.push(c)
    return c
  }

  get last(): FakeConnection {
    return this.made[this.made.length - 1]!
  }
}

export class TestCodecs implements ClientCodecs {
  makeHttp2: ((connection: Connection, decoder: StreamDecoder) => Http2Codec) | null = null

  http1(connection: Connection, decoder: StreamDecoder): Http1Codec {
    return new Http1ClientCodec(connection, decoder, defaultHttp1Options)
  }

  http2(connection: Connection, decoder: StreamDecoder): Http2Codec {
    return this.makeHttp2!(connection, decoder)
  }

  prepareHttp1(): void {
    // Stats of the real codecs only.
  }
}

type ClusterProto = envoy.config.cluster.v3.Cluster

export const warnings: string[] = []

export function parse(proto: ClusterProto): ClusterConfig {
  warnings.length = 0
  return parseCluster(proto, FieldPath.root(), {
    transportSocket: (p, _at) => ({ name: p.name ?? '', typeUrl: p.typed_config?.type_url ?? '', config: p }),
    protocolOptions: (http1, http2, limits, at) => ({
      http1: parseHttp1Options(http1, { ...limits, maxHeadersKb: limits.maxHeadersKb || 80 }, at, []),
      http2: parseHttp2Options(
        http2,
        { ...limits, maxHeadersKb: limits.maxHeadersKb || 60 },
        UnderscoreAction.Allow,
        0,
        at,
        [],
      ),
    }),
    supportsAlpn: s => s.typeUrl.endsWith('UpstreamTlsContext'),
    httpFilters: p => p,
    networkFilters: protos =>
      protos.map(p => ({ name: p.name ?? '', category: 'envoy.filters.upstream_network', typeUrl: '', config: p })),
    warn: text => void warnings.push(text),
  })
}

export function endpoint(ip: string, port: number, extra: object = {}): envoy.config.endpoint.v3.LbEndpoint {
  return { endpoint: { address: { socket_address: { address: ip, port_value: port } } }, ...extra }
}

export function staticCluster(
  hosts: readonly envoy.config.endpoint.v3.LbEndpoint[],
  extra: Partial<ClusterProto> = {},
): ClusterProto {
  return {
    name: 'c',
    type: 'STATIC',
    connect_timeout: 1000,
    load_assignment: { cluster_name: 'c', endpoints: [{ lb_endpoints: hosts }] },
    ...extra,
  }
}

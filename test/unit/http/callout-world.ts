import type { CodecStream, ResetReason, StreamDecoder } from '../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import type { WorkerServices } from '../../../src/config/services.ts'
import { AsyncCallOuts } from '../../../src/http/call-outs.ts'
import { Flow } from '../../../src/io/connection.ts'
import type { Http2Codec } from '../../../src/upstream/connector.ts'
import { endpoint, FakeRandom, noRuntime, staticCluster } from '../upstream/fakes.ts'
import { TestWorld } from '../upstream/world.ts'

/** An HTTP/2 stream whose server is the test. */
export class ServedStream implements CodecStream {
  closeAfter = false
  headerBytesSent = 0
  headerBytesReceived = 0
  wireBytesSent = 0
  wireBytesReceived = 0
  readonly id = 1
  readonly bufferedBytes = 0
  over = false
  wasReset = false
  /** `name: value`, pseudo headers first. */
  head: string[] = []
  body = Buffer.alloc(0)
  requestEnded = false
  flow: Flow = Flow.Continue
  user: unknown
  readonly #decoder: StreamDecoder

  constructor(decoder: StreamDecoder, user: unknown) {
    this.#decoder = decoder
    this.user = user
  }

  encodeHeaders(h: HeaderBlock, end: boolean): void {
    this.head = [`:method: ${h.method}`, `:path: ${h.path}`, `:authority: ${h.authority}`, `:scheme: ${h.scheme}`]
    for (let i = 0; i < h.list.length; i += 2) this.head.push(`${h.list[i]}: ${h.list[i + 1]}`)
    this.requestEnded = end
  }

  encode1xx(): void {}

  encodeData(chunk: Uint8Array, end: boolean): Flow {
    this.body = Buffer.concat([this.body, chunk])
    this.requestEnded = end
    return this.flow
  }

  encodeTrailers(): void {}

  reset(): void {
    this.over = true
    this.wasReset = true
  }

  holdReading(): void {}

  // What the server does

  answer(status: number, fields: Readonly<Record<string, string>> = {}, end = false): void {
    const h = block(fields)
    h.status = status
    this.over = end
    this.#decoder.onHeaders(this, h, end)
  }

  data(chunk: Uint8Array, end = false): void {
    this.over = end
    this.#decoder.onData(this, chunk, end)
  }

  trailers(fields: Readonly<Record<string, string>>): void {
    this.over = true
    this.#decoder.onTrailers(this, block(fields))
  }

  break(why: ResetReason): void {
    this.over = true
    this.#decoder.onReset(this, why, '')
  }

  drained(): void {
    this.flow = Flow.Continue
    this.#decoder.onWritable(this)
  }
}

function block(fields: Readonly<Record<string, string>>): HeaderBlock {
  const h = new HeaderBlock()
  for (const [name, value] of Object.entries(fields)) h.push(name, value)
  return h
}

class ServedHttp2 implements Http2Codec {
  readonly protocol = 'HTTP/2'
  readonly concurrencyLimit = 100
  readonly #decoder: StreamDecoder
  readonly #streams: ServedStream[]

  constructor(decoder: StreamDecoder, streams: ServedStream[]) {
    this.#decoder = decoder
    this.#streams = streams
  }

  dispatch(): void {}

  newStream(user: unknown): CodecStream {
    const stream = new ServedStream(this.#decoder, user)
    this.#streams.push(stream)
    return stream
  }

  get activeStreams(): number {
    return this.#streams.filter(s => !s.over).length
  }

  drain(): void {}
  onConnectionWritable(): void {}

  onConnectionClosed(why: ResetReason): void {
    for (const stream of this.#streams.filter(s => !s.over)) {
      stream.over = true
      this.#decoder.onReset(stream, why, '')
    }
  }
}

/** A worker that makes call-outs to cluster `c`: one host, HTTP/2, the server played by the test. */
export class CalloutWorld {
  readonly world: TestWorld
  /** Requests that reached the server, in order. */
  readonly streams: ServedStream[] = []
  /** What went to the process log. */
  readonly said: string[] = []
  readonly services: WorkerServices

  constructor(hosts = 1, extra: object = {}) {
    const endpoints = hosts === 0 ? [] : [endpoint('10.0.0.1', 80)]
    this.world = new TestWorld(staticCluster(endpoints, { http2_protocol_options: {}, ...extra }))
    this.world.codecs.makeHttp2 = (_connection, decoder) => new ServedHttp2(decoder, this.streams)
    const { world, said } = this
    const services = {
      timers: world.timers,
      clock: { now: () => world.timers.time, wall: () => 1_600_000_000_000 + world.timers.time },
      random: new FakeRandom(0),
      runtime: noRuntime,
      stats: world.stats,
      clusters: { get: (name: string) => (name === 'c' ? world.cluster : null) },
      node: { id: 'node-1', cluster: 'fleet', region: '', zone: 'zone-1', subZone: '', metadata: {} },
      log: () => ({
        info: (text: string) => void said.push(text),
        warning: (text: string) => void said.push(text),
      }),
      get callOuts() {
        return callOuts
      },
    } as unknown as WorkerServices
    const callOuts = new AsyncCallOuts(services, '10.9.9.9')
    this.services = services
  }

  /** The connection is there: calls that wait for it go out. */
  connect(): void {
    this.world.connector.last.connect()
  }

  get last(): ServedStream {
    return this.streams[this.streams.length - 1]!
  }

  /** Counters of the cluster that are not zero and whose name matches. */
  counters(pattern: RegExp): Record<string, number> {
    const all = Object.entries(this.world.stats.nonZero())
    const own = all.filter(([name]) => name.startsWith('cluster.c.') && pattern.test(name))
    return Object.fromEntries(own.map(([name, value]) => [name.slice('cluster.c.'.length), value]))
  }
}

/** A whole exchange through client and server codec in memory: `node bench/micro/http2.ts`. */
import type { TimerNode, Timers } from '../../src/base/timer.ts'
import type { CodecStream, StreamDecoder } from '../../src/codec/codec.ts'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { Http2ClientCodec } from '../../src/codec/http2/client.ts'
import { defaultHttp2Options } from '../../src/codec/http2/options.ts'
import { output } from '../../src/codec/http2/output.ts'
import { Http2ServerCodec } from '../../src/codec/http2/server.ts'
import { type Connection, Flow } from '../../src/io/connection.ts'
import { measure } from './reference.ts'

/** Flat strings, as a decoder makes them. */
const ids = Array.from({ length: 4096 }, (_, i) => Buffer.from(`${i * 7919}-0d1e-4f5a-${i}`).toString('latin1'))

class Pipe {
  readonly bufferedBytes = 0
  readonly chunks: Uint8Array[] = []
  write(data: Uint8Array): Flow {
    this.chunks.push(data)
    return Flow.Continue
  }
}

const timers: Timers = { arm(_: TimerNode) {}, cancel(_: TimerNode) {}, suspend(_: TimerNode) {}, now: () => 0 }
const body = Buffer.alloc(Number(process.argv[2] ?? 128), 'x')

class Server implements StreamDecoder {
  readonly head = new HeaderBlock()
  constructor() {
    this.head.status = 200
    this.head.list.push('content-type', 'application/json', 'content-length', String(body.length), 'server', 'bench')
  }
  onHeaders(s: CodecStream, _h: HeaderBlock, end: boolean): void {
    if (!end) return
    s.encodeHeaders(this.head, false)
    s.encodeData(body, true)
  }
  onData(): Flow {
    return Flow.Continue
  }
  onTrailers(): void {}
  onReset(): void {}
  onWritable(): void {}
  onConnectionError(details: string): void {
    throw new Error(details)
  }
}

class Client implements StreamDecoder {
  answers = 0
  onHeaders(): void {}
  onData(_s: CodecStream, _chunk: Uint8Array, end: boolean): Flow {
    if (end) this.answers++
    return Flow.Continue
  }
  onTrailers(): void {}
  onReset(): void {}
  onWritable(): void {}
  onConnectionError(details: string): void {
    throw new Error(details)
  }
}

for (const [name, unique, batch] of [
  ['repeated head, 1 request per turn', false, 1],
  ['repeated head, 32 requests per turn', false, 32],
  ['head with unique id, 1 request per turn', true, 1],
  ['head with unique id, 32 requests per turn', true, 32],
] as const) {
  const up = new Pipe()
  const down = new Pipe()
  const answers = new Client()
  const client = new Http2ClientCodec(up as unknown as Connection, answers, defaultHttp2Options, timers)
  const server = new Http2ServerCodec(down as unknown as Connection, new Server(), defaultHttp2Options, timers)
  const head = new HeaderBlock()
  head.method = 'GET'
  head.scheme = 'http'
  head.path = '/api/v1/items'
  head.authority = 'shop.example.com'
  head.list.push('user-agent', 'bench/1.0', 'accept', '*/*', 'x-forwarded-proto', 'http', 'x-request-id', 'fixed')
  let serial = 0
  const turn = (): void => {
    for (let i = 0; i < batch; i++) {
      if (unique) head.list[7] = ids[serial++ & 4095]!
      client.newStream(null)!.encodeHeaders(head, true)
    }
    output.flush()
    for (let i = 0; i < up.chunks.length; i++) server.dispatch(up.chunks[i]!, false)
    up.chunks.length = 0
    for (let i = 0; i < down.chunks.length; i++) client.dispatch(down.chunks[i]!, false)
    down.chunks.length = 0
  }
  const turns = 20_000 / batch
  measure(
    `exchange, ${name}`,
    () => {
      for (let i = 0; i < turns; i++) turn()
    },
    turns * batch,
  )
  if (answers.answers === 0) throw new Error('nothing answered')
}

import type { Socket } from 'node:net'
import { BlockKind, HeaderReceiver, UnderscoreAction } from '../../../src/codec/http2/header-receiver.ts'
import { HpackDecoder } from '../../../src/codec/http2/hpack-decoder.ts'
import type { Generator, Link } from './generator.ts'
import type { RequestQueue } from './http1-link.ts'
import { frameHeader, frameLength, windowUpdate } from './http2-frames.ts'
import { RequestBlocks, type RequestText, requestFrames } from './http2-request.ts'
import type { FailureKind } from './recorder.ts'
import { type Endpoint, open, type SocketEvents } from './socket.ts'

interface Stream {
  readonly due: number
  status: number
  grpcFailed: boolean
}

const NO_BYTES = Buffer.alloc(0)
/** Credit given at once and renewed at half: answers are never held up by flow control, as with h2load. */
const WINDOW = 0x3fffffff
const LAST_STREAM = 0x7ffffffd
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
  frameHeader(4, 0, 0, 12),
  // ENABLE_PUSH 0, INITIAL_WINDOW_SIZE
  Buffer.from([0, 2, 0, 0, 0, 0, 0, 4, 0x3f, 0xff, 0xff, 0xff]),
  windowUpdate(0, WINDOW - 65535),
])

/**
 * A HTTP/2 connection with many streams. HPACK decoding is Remora's, which is proved against RFC 7541; everything that
 * is measured (when a request was due, when its last frame came) is decided here.
 */
export class Http2Link implements Link, SocketEvents {
  open = false
  private readonly streams = new Map<number, Stream>()
  private readonly hpack = new HpackDecoder()
  private readonly fields = new HeaderReceiver(1 << 20, 10_000, UnderscoreAction.Allow, false)
  private partial: Buffer = NO_BYTES
  private block: Buffer = NO_BYTES
  private blockStream = 0
  private blockEnds = false
  private nextId = 1
  private received = 0
  private sendWindow = 65535
  private settled = false
  private connected = false
  private broken: FailureKind | '' = ''
  private out: Buffer[] = []
  private flushing = false
  /** Due times of requests that wait for flow-control credit. */
  private readonly waiting: number[] = []
  private readonly socket: Socket
  private readonly requests: readonly RequestText[]
  /** Places in `requests`. */
  private readonly turn: RequestQueue<number>
  /** Taken from `turn` and not sent, as its body waits for credit; -1 = none. */
  private held = -1
  private blocks = new RequestBlocks([], 0)
  private readonly longestBody: number
  private readonly maxStreams: number
  private readonly generator: Generator
  private readonly now: () => number
  private readonly gone: (link: Http2Link, connected: boolean, code: string) => void
  private readonly flush = () => {
    this.flushing = false
    const { out } = this
    this.out = []
    if (!this.socket.destroyed) this.socket.write(out.length === 1 ? out[0]! : Buffer.concat(out))
  }

  constructor(
    endpoint: Endpoint,
    requests: readonly RequestText[],
    turn: RequestQueue<number>,
    maxStreams: number,
    generator: Generator,
    now: () => number,
    gone: (link: Http2Link, connected: boolean, code: string) => void,
  ) {
    this.requests = requests
    this.turn = turn
    this.longestBody = Math.max(...requests.map(request => request.body.length))
    this.maxStreams = maxStreams
    this.generator = generator
    this.now = now
    this.gone = gone
    this.socket = open(endpoint, this)
  }

  send(due: number): void {
    if (this.held >= 0 || !this.sendNext(due)) this.waiting.push(due)
  }

  /** False when the body of the next request has no credit. */
  private sendNext(due: number): boolean {
    const index = this.held >= 0 ? this.held : this.turn.next()
    const { body } = this.requests[index]!
    this.held = this.sendWindow < body.length ? index : -1
    if (this.held >= 0) return false
    const id = this.nextId
    this.nextId += 2
    if (id >= LAST_STREAM) this.open = false
    this.streams.set(id, { due, status: 0, grpcFailed: false })
    this.sendWindow -= body.length
    const bytes = requestFrames(this.blocks.block(index), body)
    bytes.writeUInt32BE(id, 5)
    if (body.length > 0) bytes.writeUInt32BE(id, bytes.length - body.length - 4)
    this.write(bytes)
    return true
  }

  unanswered(): number[] {
    return [...[...this.streams.values()].map(stream => stream.due), ...this.waiting]
  }

  close(): void {
    this.open = false
    this.socket.destroy()
  }

  onConnected(): void {
    this.connected = true
    this.socket.write(PREFACE)
  }

  onBytes(bytes: Buffer, length: number): void {
    let from = bytes
    let end = length
    if (this.partial.length > 0) {
      from = Buffer.concat([this.partial, bytes.subarray(0, length)])
      end = from.length
      this.partial = NO_BYTES
    }
    let at = 0
    for (;;) {
      const whole = frameLength(from, at, end)
      if (whole < 0 || at + whole > end) break
      if (!this.frame(from, at, at + whole)) {
        this.broken = 'protocol'
        this.close()
        return
      }
      at += whole
    }
    if (at < end) this.partial = Buffer.from(from.subarray(at, end))
    if (this.received > WINDOW / 2) {
      this.write(windowUpdate(0, this.received))
      this.received = 0
    }
    this.generator.turn(this.now())
  }

  onGone(code: string): void {
    this.open = false
    const kind = this.broken !== '' ? this.broken : code === '' ? 'closed' : 'reset'
    const now = this.now()
    for (const due of this.unanswered()) this.generator.onFailure(due, now, kind)
    this.streams.clear()
    this.waiting.length = 0
    this.gone(this, this.connected, code)
  }

  private frame(from: Buffer, start: number, end: number): boolean {
    const type = from[start + 3]!
    const flags = from[start + 4]!
    const id = from.readUInt32BE(start + 5) & 0x7fffffff
    const at = start + 9
    switch (type) {
      case 0: // DATA
        this.received += end - at
        if ((flags & 1) !== 0) this.finish(id)
        return true
      case 1: {
        // HEADERS, maybe padded and with priority
        const padding = (flags & 8) !== 0 ? from[at]! : 0
        const begin = at + ((flags & 8) !== 0 ? 1 : 0) + ((flags & 0x20) !== 0 ? 5 : 0)
        this.blockStream = id
        this.blockEnds = (flags & 1) !== 0
        if ((flags & 4) !== 0) return this.headers(from, begin, end - padding)
        this.block = Buffer.from(from.subarray(begin, end - padding))
        return true
      }
      case 9: // CONTINUATION
        this.block = Buffer.concat([this.block, from.subarray(at, end)])
        return (flags & 4) === 0 || this.headers(this.block, 0, this.block.length)
      case 3: // RST_STREAM
        this.fail(id)
        return true
      case 4:
        return (flags & 1) !== 0 || this.settings(from, at, end)
      case 6: // PING
        if ((flags & 1) === 0) this.write(Buffer.concat([frameHeader(6, 1, 0, 8), from.subarray(at, end)]))
        return true
      case 7: // GOAWAY: nothing new here, streams above the last one were not processed
        this.open = false
        for (const stream of [...this.streams.keys()]) if (stream > from.readUInt32BE(at)) this.fail(stream)
        this.closeWhenIdle()
        return true
      case 8: // WINDOW_UPDATE; bodies fit into the first window of any stream
        if (id === 0) this.credit(from.readUInt32BE(at) & 0x7fffffff)
        return true
      default:
        return true
    }
  }

  private settings(from: Buffer, start: number, end: number): boolean {
    let tableSize = 4096
    let streams = this.maxStreams
    for (let at = start; at + 6 <= end; at += 6) {
      const name = from.readUInt16BE(at)
      const value = from.readUInt32BE(at + 2)
      if (name === 1) tableSize = value
      else if (name === 3) streams = Math.min(streams, value)
      // A smaller stream window than the body: none of the proxies under test does that, better no figures than wrong ones.
      else if (name === 4 && value < this.longestBody) return false
    }
    this.write(frameHeader(4, 1, 0, 0))
    if (this.settled) return true
    this.settled = true
    this.blocks = new RequestBlocks(this.requests, tableSize)
    this.open = true
    for (let i = 0; i < streams; i++) this.generator.onFree(this)
    return true
  }

  private headers(from: Buffer, start: number, end: number): boolean {
    const stream = this.streams.get(this.blockStream)
    const isTrailers = stream !== undefined && stream.status >= 200
    this.fields.begin(isTrailers ? BlockKind.Trailers : BlockKind.Response)
    if (!this.hpack.decode(from, start, end, this.fields) || this.fields.finish() !== '') return false
    // A stream that was given up: its block still had to be decoded.
    if (stream === undefined) return true
    const { status, list } = this.fields.block
    if (!isTrailers) stream.status = status
    if (isTrailers || this.blockEnds) {
      for (let i = 0; i < list.length; i += 2) {
        if (list[i] === 'grpc-status') stream.grpcFailed = list[i + 1] !== '0'
      }
    }
    if (this.blockEnds) this.finish(this.blockStream)
    return true
  }

  private finish(id: number): void {
    const stream = this.streams.get(id)
    if (stream === undefined) return
    this.streams.delete(id)
    this.generator.onAnswer(stream.due, this.now(), stream.status, stream.grpcFailed)
    this.freed()
  }

  private fail(id: number): void {
    const stream = this.streams.get(id)
    if (stream === undefined) return
    this.streams.delete(id)
    this.generator.onFailure(stream.due, this.now(), 'reset')
    this.freed()
  }

  private freed(): void {
    if (this.open) this.generator.onFree(this)
    else this.closeWhenIdle()
  }

  private closeWhenIdle(): void {
    if (this.streams.size === 0 && this.waiting.length === 0) this.socket.end()
  }

  private credit(bytes: number): void {
    this.sendWindow += bytes
    while (this.waiting.length > 0 && this.sendNext(this.waiting[0]!)) this.waiting.shift()
  }

  /** Everything written in one turn of the event loop leaves in one write. */
  private write(bytes: Buffer): void {
    this.out.push(bytes)
    if (this.flushing) return
    this.flushing = true
    process.nextTick(this.flush)
  }
}

import type { TimerNode, Timers } from '../../../../src/base/timer.ts'
import type { CodecStream, ResetReason, StreamDecoder } from '../../../../src/codec/codec.ts'
import type { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { output } from '../../../../src/codec/http2/output.ts'
import { type Connection, Flow } from '../../../../src/io/connection.ts'

/** Keeps what is written; `full` makes writes answer Pause. */
export class FakeConnection {
  written: Buffer[] = []
  full = false
  bufferedBytes = 0
  onWrite: (() => void) | null = null

  write(data: Uint8Array | string): Flow {
    this.written.push(typeof data === 'string' ? Buffer.from(data, 'latin1') : Buffer.from(data))
    this.onWrite?.()
    return this.full ? Flow.Pause : Flow.Continue
  }

  /** Everything written since the last call. */
  take(): Buffer {
    output.flush()
    const all = Buffer.concat(this.written)
    this.written = []
    return all
  }

  asConnection(): Connection {
    return this as unknown as Connection
  }
}

/** Virtual time: nothing fires until `advance`. */
export class FakeTimers implements Timers {
  private time = 0
  private readonly armed = new Set<TimerNode>()

  arm(node: TimerNode, ms: number): void {
    node.deadline = this.time + Math.max(ms, 0)
    this.armed.add(node)
  }

  suspend(node: TimerNode): void {
    this.cancel(node)
  }

  cancel(node: TimerNode): void {
    this.armed.delete(node)
  }

  now(): number {
    return this.time
  }

  advance(ms: number): void {
    this.time += ms
    for (const node of [...this.armed]) {
      if (node.deadline > this.time || !this.armed.delete(node)) continue
      node.owner.onTimer(node.kind)
    }
  }

  get size(): number {
    return this.armed.size
  }
}

export function describe(h: HeaderBlock): string {
  const parts: string[] = []
  for (const name of [':status', ':method', ':scheme', ':path', ':authority', ':protocol']) {
    const value = h.get(name)
    if (value !== undefined) parts.push(`${name}=${value}`)
  }
  for (let i = 0; i < h.list.length; i += 2) parts.push(`${h.list[i]}=${h.list[i + 1]}`)
  return parts.join(' ')
}

/** Writes every event as one line; DATA of one stream that comes in a row is joined, so that chunking does not show. */
export class Recorder implements StreamDecoder {
  readonly lines: string[] = []
  readonly streams: CodecStream[] = []
  blocks: HeaderBlock[] = []
  private dataOf: CodecStream | null = null
  onHead: ((s: CodecStream, h: HeaderBlock, end: boolean) => void) | null = null
  onBody: ((s: CodecStream, chunk: Uint8Array, end: boolean) => void) | null = null
  onRoom: ((s: CodecStream) => void) | null = null

  onNewStream(s: CodecStream): void {
    this.streams.push(s)
    this.line(`new ${s.id}`)
  }

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    this.blocks.push(h)
    this.line(`headers ${s.id}${end ? ' end' : ''}: ${describe(h)}`)
    this.onHead?.(s, h, end)
  }

  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    const text = Buffer.from(chunk).toString('latin1')
    // What is joined is not looked at: that would copy all of it each time.
    if (this.dataOf === s) this.lines[this.lines.length - 1] += text
    else this.lines.push(`data ${s.id}: ${text}`)
    this.dataOf = s
    if (end) {
      this.lines[this.lines.length - 1] = this.lines[this.lines.length - 1]!.replace(': ', ' end: ')
      this.dataOf = null
    }
    this.onBody?.(s, chunk, end)
    return Flow.Continue
  }

  onTrailers(s: CodecStream, t: HeaderBlock): void {
    this.line(`trailers ${s.id}: ${describe(t)}`)
  }

  onReset(s: CodecStream, why: ResetReason, details: string): void {
    this.line(`reset ${s.id} ${why} ${details}`)
  }

  onWritable(s: CodecStream): void {
    this.line(`writable ${s.id}`)
    this.onRoom?.(s)
  }

  onEncodeComplete(s: CodecStream): void {
    this.line(`complete ${s.id}`)
  }

  onGoAway(): void {
    this.line('goaway')
  }

  onConnectionError(details: string): void {
    this.line(`error ${details}`)
  }

  take(): string[] {
    this.dataOf = null
    return this.lines.splice(0)
  }

  private line(text: string): void {
    this.dataOf = null
    this.lines.push(text)
  }
}

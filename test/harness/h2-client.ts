import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls'
import type { Fate } from '../../bench/wire/http1-client.ts'
import { dataFrame, frame, H2Peer, headersFrames, RST_STREAM, word } from './h2-frames.ts'
import type { Field } from './hpack.ts'

/** One request stream. Fields go out exactly as given, pseudo-headers included. */
export interface StreamScript {
  readonly fields: readonly Field[]
  readonly body?: string
  readonly trailers?: readonly Field[]
  /** False leaves the request open. Default true. */
  readonly end?: boolean
  /** RST_STREAM after `after` ms. */
  readonly reset?: { readonly after: number; readonly code: number }
  /** Delay before this stream starts, ms after the previous one. */
  readonly after?: number
}

export interface H2Script {
  readonly port: number
  readonly streams: readonly StreamScript[]
  /** SETTINGS values to announce. */
  readonly settings?: readonly (readonly [number, number])[]
  /** Frames (hex) to send after the preface, before any stream. */
  readonly rawFrames?: string
  /** Also wait for a GOAWAY or a close. */
  readonly untilClosed?: boolean
  readonly timeout: number
  readonly linger: number
  readonly tls?: ConnectionOptions
}

export interface StreamResult {
  informational: Field[][]
  headers: Field[]
  body: Buffer
  trailers: Field[]
  /** Which frame ended it: `headers`, `data`, `trailers`, `reset N`, `none`. */
  end: string
}

export interface H2Result {
  readonly streams: readonly StreamResult[]
  readonly goaway: string | null
  readonly fate: Fate
  readonly tls: string | null
}

export async function playH2(script: H2Script): Promise<H2Result> {
  const session = new H2Session(script)
  await session.run()
  return { streams: session.streams, goaway: session.goaway, fate: session.fate, tls: session.tlsOutcome }
}

class H2Session {
  readonly streams: StreamResult[] = []
  goaway: string | null = null
  fate: Fate = 'kept'
  tlsOutcome: string | null = null
  private readonly script: H2Script
  private closed = false
  private wake: (() => void) | null = null

  constructor(script: H2Script) {
    this.script = script
    for (const _ of script.streams) {
      this.streams.push({ informational: [], headers: [], body: Buffer.alloc(0), trailers: [], end: 'none' })
    }
  }

  async run(): Promise<void> {
    const deadline = Date.now() + this.script.timeout
    const socket = connectTcp({ port: this.script.port, host: '127.0.0.1', noDelay: true })
    const { tls } = this.script
    const stream: Socket = tls === undefined ? socket : connectTls({ ...tls, socket, rejectUnauthorized: false })
    let ready = false
    stream.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      ready = true
      this.wake?.()
    })
    stream.on('error', (error: NodeJS.ErrnoException) =>
      this.close(error.code === 'ECONNREFUSED' ? 'refused' : 'reset'),
    )
    stream.on('end', () => this.close('closed'))
    stream.on('close', () => this.close('closed'))
    await this.until(() => ready || this.closed, deadline)
    if (ready) {
      if (stream instanceof TLSSocket) {
        this.tlsOutcome = `${stream.getProtocol()} alpn=${stream.alpnProtocol || '-'}`
      }
      await this.exchange(stream, deadline)
    }
    stream.destroy()
  }

  private async exchange(socket: Socket, deadline: number): Promise<void> {
    const settings = (this.script.settings ?? []).map(([id, value]): [number, number] => [id, value])
    const peer = new H2Peer(socket, 'client', this, settings)
    if (this.script.rawFrames !== undefined) peer.write(Buffer.from(this.script.rawFrames.replace(/\s/g, ''), 'hex'))
    let id = 1
    for (const stream of this.script.streams) {
      if (stream.after !== undefined) await this.until(() => this.closed, Date.now() + stream.after)
      await this.send(peer, id, stream)
      id += 2
    }
    const done = () => this.closed || (this.streams.every(s => s.end !== 'none') && this.script.untilClosed !== true)
    await this.until(done, deadline)
    if (!done()) this.fate = 'timeout'
    await this.until(() => this.closed, Date.now() + this.script.linger)
  }

  private async send(peer: H2Peer, id: number, stream: StreamScript): Promise<void> {
    const end = stream.end ?? true
    const hasBody = stream.body !== undefined
    const hasTrailers = stream.trailers !== undefined
    peer.write(headersFrames(id, stream.fields, end && !hasBody && !hasTrailers))
    const body = Buffer.from(stream.body ?? '', 'latin1')
    for (let offset = 0; hasBody && (offset === 0 || offset < body.length); offset += 16384) {
      const last = offset + 16384 >= body.length
      peer.write(dataFrame(id, body.subarray(offset, offset + 16384), last && end && !hasTrailers))
    }
    if (stream.trailers !== undefined) peer.write(headersFrames(id, stream.trailers, true))
    if (stream.reset !== undefined) {
      await this.until(() => this.closed, Date.now() + stream.reset.after)
      peer.write(frame(RST_STREAM, 0, id, word(stream.reset.code)))
      this.streams[(id - 1) >> 1]!.end = 'reset by client'
    }
  }

  onHeaders(id: number, fields: Field[], endStream: boolean): void {
    const stream = this.streams[(id - 1) >> 1]
    if (stream === undefined) return
    const status = fields.find(([name]) => name === ':status')?.[1] ?? ''
    if (status.startsWith('1') && !endStream) stream.informational.push(fields)
    else if (stream.headers.length === 0) stream.headers = fields
    else stream.trailers = fields
    if (endStream) this.finish(stream, stream.trailers.length > 0 ? 'trailers' : 'headers')
  }

  onData(id: number, bytes: Buffer, endStream: boolean): void {
    const stream = this.streams[(id - 1) >> 1]
    if (stream === undefined) return
    stream.body = Buffer.concat([stream.body, bytes])
    if (endStream) this.finish(stream, 'data')
  }

  onReset(id: number, code: number): void {
    const stream = this.streams[(id - 1) >> 1]
    if (stream !== undefined) this.finish(stream, `reset ${code}`)
  }

  onGoaway(_last: number, code: number, debug: string): void {
    this.goaway = `${code} ${debug}`.trim()
    this.wake?.()
  }

  private finish(stream: StreamResult, end: string): void {
    if (stream.end === 'none') stream.end = end
    this.wake?.()
  }

  private close(fate: Fate): void {
    if (!this.closed) this.fate = fate
    this.closed = true
    this.wake?.()
  }

  private until(done: () => boolean, deadline: number): Promise<void> {
    return new Promise(resolve => {
      const finish = () => {
        clearTimeout(timer)
        this.wake = null
        resolve()
      }
      const timer = setTimeout(finish, Math.max(0, deadline - Date.now()))
      this.wake = () => {
        if (done()) finish()
      }
      this.wake()
    })
  }
}

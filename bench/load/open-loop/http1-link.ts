import type { Socket } from 'node:net'
import type { Generator, Link } from './generator.ts'
import { type Http1Events, Http1ResponseReader } from './http1-response.ts'
import { type Endpoint, open, type SocketEvents } from './socket.ts'

/** The requests of a run in turn, over all connections. */
export class RequestQueue<T> {
  private at = 0
  private readonly all: readonly T[]

  constructor(all: readonly T[]) {
    this.all = all
  }

  next(): T {
    const request = this.all[this.at]!
    this.at = this.at + 1 === this.all.length ? 0 : this.at + 1
    return request
  }
}

export interface PreparedRequest {
  readonly bytes: Buffer
  readonly isHead: boolean
}

/** A HTTP/1.1 connection: one request at a time, no pipelining, as clients of a sidecar do it. */
export class Http1Link implements Link, SocketEvents, Http1Events {
  open = false
  private due = -1
  private failed = ''
  private readonly socket: Socket
  private readonly reader: Http1ResponseReader
  private readonly requests: RequestQueue<PreparedRequest>
  private readonly generator: Generator
  private readonly now: () => number
  private readonly gone: (link: Http1Link, connected: boolean, code: string) => void
  private connected = false

  constructor(
    endpoint: Endpoint,
    requests: RequestQueue<PreparedRequest>,
    generator: Generator,
    now: () => number,
    gone: (link: Http1Link, connected: boolean, code: string) => void,
  ) {
    this.requests = requests
    this.generator = generator
    this.now = now
    this.gone = gone
    this.reader = new Http1ResponseReader(this)
    this.socket = open(endpoint, this)
  }

  send(due: number): void {
    this.due = due
    const request = this.requests.next()
    this.reader.toHead = request.isHead
    this.socket.write(request.bytes)
  }

  unanswered(): number[] {
    return this.due < 0 ? [] : [this.due]
  }

  close(): void {
    this.open = false
    this.socket.destroy()
  }

  onConnected(): void {
    this.open = true
    this.connected = true
    this.generator.onFree(this)
    this.generator.turn(this.now())
  }

  onBytes(bytes: Buffer, length: number): void {
    if (!this.reader.push(bytes, length)) this.break('protocol')
  }

  onAnswer(status: number, keep: boolean): void {
    if (this.due < 0) {
      this.break('protocol')
      return
    }
    const now = this.now()
    this.generator.onAnswer(this.due, now, status, false)
    this.due = -1
    if (!keep) {
      this.close()
      return
    }
    this.generator.onFree(this)
    // The next request may be due already, and has waited for this connection.
    this.generator.turn(now)
  }

  onGone(code: string): void {
    this.open = false
    this.reader.end()
    if (this.due >= 0) {
      const kind = this.failed === 'protocol' ? 'protocol' : code === '' ? 'closed' : 'reset'
      this.generator.onFailure(this.due, this.now(), kind)
      this.due = -1
    }
    this.gone(this, this.connected, code)
  }

  private break(why: string): void {
    this.failed = why
    this.close()
  }
}

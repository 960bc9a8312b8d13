import { Acceptor } from '../../../src/io/acceptor.ts'
import { ipAddress } from '../../../src/io/address.ts'
import type { ConnectOptions } from '../../../src/io/connect-options.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../../../src/io/connection.ts'
import { openListenSocket, PLAIN_SOCKET } from '../../../src/io/listen-socket.ts'
import { accept, connect, type SocketConnection } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'

/** A handler that records; `until` resolves when its condition holds after some event. */
export class Recorder implements ConnectionHandler {
  connected = false
  readonly chunks: Buffer[] = []
  ended = false
  writable = 0
  closed: CloseReason | null = null
  connection: Connection | null = null
  readonly #waiting: { test: () => boolean; done: () => void }[] = []
  #auto: ((c: Connection, chunk: Uint8Array, end: boolean) => void) | null = null

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  get received(): number {
    return this.chunks.reduce((sum, c) => sum + c.length, 0)
  }

  answer(with_: (c: Connection, chunk: Uint8Array, end: boolean) => void): this {
    this.#auto = with_
    return this
  }

  onConnected(c: Connection): void {
    this.connection = c
    this.connected = true
    this.#check()
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): void {
    this.connection = c
    if (chunk.length > 0) this.chunks.push(chunk as Buffer)
    if (end) this.ended = true
    this.#auto?.(c, chunk, end)
    this.#check()
  }

  onWritable(): void {
    this.writable++
    this.#check()
  }

  onClose(c: Connection, why: CloseReason): void {
    this.connection = c
    if (this.closed !== null) throw new Error('onClose called twice')
    this.closed = why
    this.#check()
  }

  until(test: () => boolean): Promise<void> {
    return new Promise(done => {
      this.#waiting.push({ test, done })
      this.#check()
    })
  }

  #check(): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      if (!this.#waiting[i]!.test()) continue
      this.#waiting.splice(i, 1)[0]!.done()
    }
  }
}

/** Nothing asked for. */
export const PLAIN_CONNECT: ConnectOptions = {
  connectTimeout: 0,
  source: null,
  original: null,
  preamble: null,
  watches: null,
  tls: null,
  bufferLimit: 0,
}

export interface Loopback {
  readonly loop: SocketLoop
  readonly timers: VirtualTimers
  readonly port: number
  /** Server sides in order of arrival. */
  readonly accepted: { connection: SocketConnection; handler: Recorder }[]
  next(): Promise<{ connection: SocketConnection; handler: Recorder }>
  /** `to`: another port of this machine. */
  dial(options?: Partial<ConnectOptions>, to?: number): { connection: SocketConnection; handler: Recorder }
  close(): void
}

/** A server and a client side made of the code under test, joined by the loopback interface. */
export async function loopback(holds = 0): Promise<Loopback> {
  const timers = new VirtualTimers()
  const loop = new SocketLoop(timers)
  const accepted: { connection: SocketConnection; handler: Recorder }[] = []
  const waiting: (() => void)[] = []
  const all: SocketConnection[] = []
  const acceptor = new Acceptor(loop, {
    onAccept(fd) {
      const handler = new Recorder()
      const connection = accept(loop, fd, handler, holds)
      if (connection === null) return
      all.push(connection)
      accepted.push({ connection, handler })
      for (const done of waiting.splice(0)) done()
    },
    onAcceptError(code) {
      throw new Error(`accept: ${code}`)
    },
  })
  acceptor.listen(openListenSocket(ipAddress('127.0.0.1', 0), PLAIN_SOCKET), 128)
  const { port } = acceptor
  let taken = 0
  return {
    loop,
    timers,
    port,
    accepted,
    async next() {
      while (accepted.length <= taken) await new Promise<void>(done => waiting.push(done))
      return accepted[taken++]!
    },
    dial(options = {}, to = port) {
      const handler = new Recorder()
      const connection = connect(loop, ipAddress('127.0.0.1', to), { ...PLAIN_CONNECT, ...options }, handler)
      all.push(connection)
      return { connection, handler }
    },
    close() {
      acceptor.close(true)
      for (const c of all) c.close(2)
    },
  }
}

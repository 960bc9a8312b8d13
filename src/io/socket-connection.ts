import type tls from 'node:tls'
import { TimerNode, type TimerOwner } from '../base/timer.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { isPipe } from './address.ts'
import type { ByteStream, PlainStream, StreamOwner } from './byte-stream.ts'
import type { ConnectOptions, Preamble, SocketWatch, TlsDriver } from './connect-options.ts'
import {
  type Address,
  CloseHow,
  CloseReason,
  type Connection,
  type ConnectionHandler,
  Flow,
  type Prelude,
  type TlsInfo,
  type UpstreamSource,
} from './connection.ts'
import { connectFailure } from './errno.ts'
import { InternalStream } from './internal-stream.ts'
import { keepAlive } from './keep-alive.ts'
import { closeSocket } from './listen-socket.ts'
import { OutputQueue } from './output-queue.ts'
import type { Proxied } from './proxied.ts'
import type { SocketLoop } from './socket-loop.ts'
import { acceptedFrom, NO_ADDRESS, SocketStream } from './socket-stream.ts'
import { ignoreErrors, TlsStream } from './tls-stream.ts'
import type { ClientHello } from './transport-sockets/client-hello.ts'
import type { LocalCertificate } from './transport-sockets/tls-info.ts'

const EMPTY = new Uint8Array(0)
const DEFAULT_BUFFER_LIMIT = 1024 * 1024
const DEFAULT_DELAYED_CLOSE = 1000
/** A peer that does not take what is to be flushed is dropped after an hour, as tcp_proxy's idle_timeout does in Envoy. */
const FLUSH_STALL = 3_600_000

const TIMER_CLOSE = 0
const TIMER_CONNECT = 1

/** Hello: accepted, and TLS is to come. */
const Phase = { Connecting: 0, Hello: 1, Handshaking: 2, Ready: 3, Flushing: 4, Draining: 5, Gone: 6 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

/** Takes over an accepted descriptor (see `acceptor.ts`); reading starts when the last hold is cleared. */
export function accept(
  loop: SocketLoop,
  fd: number,
  handler: ConnectionHandler,
  holds: number,
): SocketConnection | null {
  const peer = acceptedFrom(fd)
  // A client that is gone already has no address: nothing to serve.
  if (peer !== null) return new SocketConnection(loop, fd, Phase.Ready, peer, handler, holds)
  closeSocket(fd)
  return null
}

/**
 * Connects to `ip:port` or a Unix socket, or with the client's `end` of a connection within this worker; the handler hears
 * `onConnected` or `onClose`, never both failing and nothing.
 */
export function connect(
  loop: SocketLoop,
  address: Address,
  options: ConnectOptions,
  handler: ConnectionHandler,
  end: InternalStream | null = null,
): SocketConnection {
  const connection = new SocketConnection(loop, end ?? -1, Phase.Connecting, address, handler, 0)
  connection.begin(address, options)
  return connection
}

/** Takes over the server's end of a connection within this worker. */
export function acceptInternal(
  loop: SocketLoop,
  stream: InternalStream,
  handler: ConnectionHandler,
  holds: number,
): SocketConnection {
  return new SocketConnection(loop, stream, Phase.Ready, stream.peerAddress(), handler, holds)
}

export class SocketConnection implements Connection, TimerOwner, StreamOwner {
  readonly id: number
  readonly directRemote: Address
  directLocal: Address
  remote: Address
  local: Address
  localRestored = false
  upstreamSource: UpstreamSource | null = null
  proxied: Proxied | null = null
  requestedServerName = ''
  applicationProtocols: readonly string[] = NONE
  transportProtocol = ''
  encrypted = false
  tls: TlsInfo | null = null
  transportFailure = ''
  /** Set by listener filters or the listener before `secure`. */
  clientHello: ClientHello | null = null
  /** What this side showed in the handshake. */
  localCertificate: LocalCertificate | null = null
  /** Set by a driver whose `onSecure` refuses the peer: what to tell it (RFC 5246 §7.2), as bytes of the TCP stream; '' = nothing. */
  refusalAlert = ''
  inspectorFailure = ''
  handler: ConnectionHandler
  streamInfo: StreamInfo | null = null
  prelude: Prelude | null = null
  readHolds: number
  bytesReceived = 0
  bytesSent = 0
  readonly startTime: number
  connectEnd: number | null = null
  closed = false

  readonly #loop: SocketLoop
  /** The bare socket; under TLS it is without function. */
  readonly #plain: PlainStream
  #stream: ByteStream
  #secured: TlsStream | null = null
  #tls: tls.TLSSocket | null = null
  #driver: TlsDriver | null = null
  #preamble: Preamble | null = null
  #watch: SocketWatch | null = null
  #phase: Phase
  #why: CloseReason = CloseReason.Remote
  #closeTimer: TimerNode | null = null
  #connectTimer: TimerNode | null = null
  #delayedClose = DEFAULT_DELAYED_CLOSE
  delayedCloseExpired = false
  #lastPending = 0

  /** What this turn wants written. */
  readonly #queue = new OutputQueue()
  #dirty = false
  #high = DEFAULT_BUFFER_LIMIT
  #low = DEFAULT_BUFFER_LIMIT >> 1
  #above = false
  #ended = false
  #unread: Uint8Array = EMPTY
  #unreadEnd = false

  constructor(
    loop: SocketLoop,
    handle: number | InternalStream,
    phase: Phase,
    remote: Address,
    handler: ConnectionHandler,
    holds: number,
  ) {
    this.id = loop.nextId()
    this.#loop = loop
    this.#plain =
      handle instanceof InternalStream ? handle.own(this) : new SocketStream(loop, handle, isPipe(remote), this)
    this.#stream = this.#plain
    this.#phase = phase
    this.directRemote = remote
    this.directLocal = phase === Phase.Ready ? this.#plain.localAddress() : NO_ADDRESS
    this.remote = remote
    this.local = this.directLocal
    this.handler = handler
    this.readHolds = holds
    this.startTime = loop.timers.now()
    if (phase === Phase.Ready && holds === 0) this.#stream.resume()
  }

  /** Descriptor for getsockopt; -1 when it is closed. */
  get fd(): number {
    return this.#stream.fd
  }

  get bufferedBytes(): number {
    return this.#queue.length + this.#stream.pendingBytes
  }

  begin(address: Address, options: ConnectOptions): void {
    this.setWatermarks(options.bufferLimit)
    const source = options.original === null ? options.source : options.original.address
    if (source !== null) this.directLocal = this.local = source
    this.#driver = options.tls
    this.#preamble = options.preamble
    if (options.watches !== null) this.#watch = options.watches.watch()
    this.encrypted = options.tls !== null
    if (options.connectTimeout > 0) {
      this.#connectTimer = new TimerNode(this, TIMER_CONNECT)
      this.#loop.timers.arm(this.#connectTimer, options.connectTimeout)
    }
    this.#plain.connect(address, options.source, options.original)
  }

  /** Of an accepted connection. */
  watchSocket(watch: SocketWatch): void {
    this.#watch = watch
    watch.start(this.fd)
  }

  /** TLS is to come: what is written waits for it. `handler` reads the ClientHello, when nobody holds reading, and calls `secure`. */
  expectTls(): void {
    this.encrypted = true
    this.#phase = Phase.Hello
  }

  /** Starts TLS on an accepted connection. `first`: bytes that listener filters have read, given to TLS untouched. */
  secure(driver: TlsDriver, first: Uint8Array, timeout: number): void {
    this.#driver = driver
    this.bytesReceived = 0
    if (timeout > 0) {
      this.#connectTimer = new TimerNode(this, TIMER_CONNECT)
      this.#loop.timers.arm(this.#connectTimer, timeout)
    }
    this.#handshake(first)
  }

  /** Gives bytes back that were read before there were filters: they come first when reading is not held. */
  unread(bytes: Uint8Array, ended: boolean): void {
    this.bytesReceived = 0
    this.#unread = bytes
    this.#unreadEnd ||= ended
    if (this.readHolds === 0) this.#deliverUnread()
  }

  write(data: Uint8Array | string): Flow {
    const length = data.length
    if (length === 0 || this.closed || this.#ended) return Flow.Continue
    const queue = this.#queue
    queue.push(data)
    this.bytesSent += length
    if (!this.#dirty) {
      this.#dirty = true
      this.#loop.flushLater(this)
    }
    if (queue.length + this.#stream.pendingBytes <= this.#high) return Flow.Continue
    this.#above = true
    return Flow.Pause
  }

  /** Called by the loop at the end of the turn. */
  flush(): void {
    this.#dirty = false
    if (this.#phase < Phase.Ready || this.#phase === Phase.Gone) return
    if (this.#queue.length > 0) this.#queue.writeTo(this.#stream)
    // After all, all of it went out at once: nobody will say so.
    if (this.#above && this.#stream.pendingBytes <= this.#low) this.#drained()
  }

  setWatermarks(high: number): void {
    this.#high = high > 0 ? high : Number.MAX_SAFE_INTEGER
    this.#low = Math.floor(this.#high / 2)
  }

  /** delayed_close_timeout in ms; 0 closes as soon as everything is flushed. */
  setDelayedCloseTimeout(ms: number): void {
    this.#delayedClose = ms
  }

  end(): void {
    if (this.#ended || this.closed) return
    this.#ended = true
    if (this.#phase < Phase.Ready) return
    if (this.#queue.length > 0) this.#queue.writeTo(this.#stream)
    this.#stream.end()
  }

  close(how: CloseHow, why: CloseReason = CloseReason.Local): void {
    if (this.#phase === Phase.Gone) return
    const again = this.closed
    if (!again) {
      this.closed = true
      this.#why = why
    }
    if (how === CloseHow.Reset) {
      this.#stream.reset()
      return
    }
    if (how === CloseHow.NoFlush || this.#phase < Phase.Ready) {
      this.#destroy()
      return
    }
    if (again) return
    if (this.#queue.length > 0) this.#queue.writeTo(this.#stream)
    this.#closeTimer = new TimerNode(this, TIMER_CLOSE)
    this.#lastPending = this.#stream.pendingBytes
    if (how === CloseHow.FlushAndDelay && this.#delayedClose > 0) {
      this.#phase = Phase.Draining
      this.#loop.timers.arm(this.#closeTimer, this.#delayedClose)
      this.#stream.end()
      // Its answer to our FIN is only seen while reading; what it still sends is thrown away.
      this.#stream.resume()
      if (this.#stream.ended) this.#stream.destroySoon()
    } else {
      this.#phase = Phase.Flushing
      this.#loop.timers.arm(this.#closeTimer, FLUSH_STALL)
      this.#stream.destroySoon()
    }
  }

  holdReading(bit: number, hold: boolean): void {
    const before = this.readHolds
    this.readHolds = hold ? before | bit : before & ~bit
    if ((this.#phase !== Phase.Ready && this.#phase !== Phase.Hello) || before === this.readHolds) return
    if (before === 0) this.#stream.pause()
    else if (this.readHolds === 0) {
      if (this.#unread.length > 0 || this.#unreadEnd) this.#deliverUnread()
      if (this.readHolds === 0 && !this.closed) this.#stream.resume()
    }
  }

  setKeepAlive(probes: number | null, time: number | null, interval: number | null): void {
    keepAlive(this.fd, probes, time, interval)
  }

  onTimer(kind: number): void {
    if (kind === TIMER_CONNECT) {
      this.#abandon(CloseReason.ConnectTimeout)
      return
    }
    const pending = this.#stream.pendingBytes
    if (pending > 0 && pending < this.#lastPending) {
      this.#lastPending = pending
      this.#loop.timers.arm(this.#closeTimer!, this.#phase === Phase.Draining ? this.#delayedClose : FLUSH_STALL)
      return
    }
    this.delayedCloseExpired = this.#phase === Phase.Draining
    this.#destroy()
  }

  onSocketConnected(): void {
    if (this.#phase !== Phase.Connecting) return
    this.connectEnd = this.#loop.timers.now()
    this.directLocal = this.#plain.localAddress()
    this.local = this.directLocal
    this.#watch?.start(this.fd)
    const first = this.#preamble?.bytes(this)
    if (first !== undefined) {
      this.bytesSent += first.length
      this.#plain.writeBytes(first)
      // The peer may be gone already.
      if (this.closed) return
    }
    if (this.#driver !== null) this.#handshake(EMPTY)
    else this.#ready()
  }

  onSecure(): void {
    if (this.#phase !== Phase.Handshaking || this.#driver === null) return
    const info = this.#driver.onSecure(this.#tls!, this)
    if (info === null) {
      // Tried at once by libuv, before the TLS socket would send its own last flight, which the destroy drops.
      if (this.refusalAlert !== '') this.#secured!.writePlain(this.refusalAlert)
      this.#abandon(CloseReason.TransportFailed)
      return
    }
    info.handshakeEnd = this.#loop.timers.now()
    this.tls = info
    this.#ready()
  }

  onBytes(chunk: Uint8Array): boolean {
    if (this.readHolds !== 0 && !this.closed) {
      // A resume that Node had scheduled before the hold still reads once: kept until the hold is gone.
      this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk])
      return false
    }
    this.bytesReceived += chunk.length
    if (this.closed) return true
    if (this.prelude === null) this.handler.onData(this, chunk, false)
    else this.#readPrelude(chunk, false)
    return this.readHolds === 0 || this.closed
  }

  onEnd(): void {
    if (this.#phase === Phase.Draining) this.#stream.destroySoon()
    else if (this.#phase === Phase.Handshaking) this.#destroy()
    else if (this.closed) return
    else if (this.readHolds !== 0) this.#unreadEnd = true
    else if (this.prelude === null) this.handler.onData(this, EMPTY, true)
    else this.#readPrelude(EMPTY, true)
  }

  onError(error: NodeJS.ErrnoException): void {
    if (this.closed) return
    this.closed = true
    if (this.#phase === Phase.Connecting) {
      this.#why = CloseReason.ConnectFailed
      this.transportFailure = connectFailure(error.code ?? '', error.syscall, this.directRemote)
    } else if (this.#phase === Phase.Handshaking && this.#driver !== null) {
      this.#why = CloseReason.TransportFailed
      this.transportFailure = this.#driver.onHandshakeError(error, this, this.#tls)
    } else {
      this.#why = CloseReason.RemoteReset
      if (this.#driver !== null) this.transportFailure = this.#driver.onHandshakeError(error, this, this.#tls)
    }
    // TLS reports a record that is no good, and leaves the socket open.
    this.#stream.destroy()
  }

  onGone(): void {
    if (this.#phase === Phase.Gone) return
    this.#phase = Phase.Gone
    this.closed = true
    this.#watch?.stop()
    this.#queue.clear()
    this.#stopConnectTimer()
    if (this.#closeTimer !== null) this.#loop.timers.cancel(this.#closeTimer)
    this.handler.onClose(this, this.#why)
  }

  #handshake(first: Uint8Array): void {
    this.#phase = Phase.Handshaking
    const tcp = this.#plain.release()
    ignoreErrors(tcp)
    const socket = this.#driver!.wrap(tcp, this)
    if (socket === null) {
      this.closed = true
      this.#why = CloseReason.TransportFailed
      tcp.once('close', () => this.onGone())
      tcp.destroy()
      return
    }
    this.#tls = socket
    this.#secured = new TlsStream(tcp, socket, this)
    this.#stream = this.#secured
    if (first.length > 0) this.#secured.feed(first)
  }

  #ready(): void {
    this.#stopConnectTimer()
    this.#phase = Phase.Ready
    if (this.readHolds === 0) this.#stream.resume()
    else this.#stream.pause()
    this.handler.onConnected?.(this)
    if (this.closed) return
    if (this.#queue.length > 0) this.flush()
    if (this.#ended) this.#stream.end()
  }

  #readPrelude(chunk: Uint8Array, end: boolean): void {
    // The ClientHello comes before the stream that it is the prelude of.
    const rest = this.#phase === Phase.Hello ? chunk : this.prelude!.read(this, chunk, end)
    if (rest !== null && !this.closed && (rest.length > 0 || end)) this.handler.onData(this, rest, end)
  }

  #deliverUnread(): void {
    const bytes = this.#unread
    const end = this.#unreadEnd
    this.#unread = EMPTY
    this.#unreadEnd = false
    this.bytesReceived += bytes.length
    if (this.closed || (bytes.length === 0 && !end)) return
    if (this.prelude === null) this.handler.onData(this, bytes, end)
    else this.#readPrelude(bytes, end)
  }

  get bufferLimit(): number {
    return this.#high
  }

  get awaitsDrain(): boolean {
    return this.#above
  }

  onWritten(): void {
    if (this.#above && this.bufferedBytes <= this.#low) this.#drained()
  }

  #drained(): void {
    this.#above = false
    if (!this.closed) this.handler.onWritable?.(this)
  }

  #abandon(why: CloseReason): void {
    this.closed = true
    this.#why = why
    this.#destroy()
  }

  #destroy(): void {
    this.#stream.destroy()
  }

  #stopConnectTimer(): void {
    if (this.#connectTimer === null) return
    this.#loop.timers.cancel(this.#connectTimer)
    this.#connectTimer = null
  }
}

const NONE: readonly string[] = []

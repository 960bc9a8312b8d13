import type net from 'node:net'
import type tls from 'node:tls'
import { TimerNode, type TimerOwner } from '../base/timer.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { isPipe } from './address.ts'
import type { ConnectOptions, TlsDriver } from './connect-options.ts'
import {
  type Address,
  CloseHow,
  CloseReason,
  type Connection,
  type ConnectionHandler,
  Flow,
  type Prelude,
  type TlsInfo,
} from './connection.ts'
import { connectFailure } from './errno.ts'
import { OutputQueue } from './output-queue.ts'
import { adopt, adoptTls, discard, disown, type SocketOwner } from './socket-events.ts'
import { localAddress, NO_ADDRESS, newSocket, peerAddress } from './socket-factory.ts'
import type { SocketLoop } from './socket-loop.ts'
import type { ClientHello } from './transport-sockets/client-hello.ts'
import type { LocalCertificate } from './transport-sockets/tls-info.ts'

export type { ConnectOptions, TlsDriver }

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

/** Takes over an accepted socket handle (see `acceptor.ts`); reading starts when the last hold is cleared. */
export function accept(
  loop: SocketLoop,
  handle: unknown,
  handler: ConnectionHandler,
  holds: number,
): SocketConnection | null {
  const socket = newSocket(loop, handle)
  socket.setNoDelay(true)
  // A client that is gone already has no address: nothing to serve.
  if (socket.remoteAddress === undefined && socket.localAddress !== undefined) {
    discard(socket)
    return null
  }
  return new SocketConnection(loop, socket, Phase.Ready, peerAddress(socket), localAddress(socket), handler, holds)
}

/** Connects to `ip:port` or a Unix socket; the handler hears `onConnected` or `onClose`, never both failing and nothing. */
export function connect(
  loop: SocketLoop,
  address: Address,
  options: ConnectOptions,
  handler: ConnectionHandler,
): SocketConnection {
  const socket = newSocket(loop, undefined)
  const unknown = options.source ?? NO_ADDRESS
  const connection = new SocketConnection(loop, socket, Phase.Connecting, address, unknown, handler, 0)
  connection.setWatermarks(options.bufferLimit)
  connection.begin(address, options)
  return connection
}

export class SocketConnection implements Connection, TimerOwner, SocketOwner {
  readonly id: number
  readonly directRemote: Address
  directLocal: Address
  remote: Address
  local: Address
  localRestored = false
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
  closed = false

  readonly #loop: SocketLoop
  #socket: net.Socket | tls.TLSSocket
  /** The TCP socket under TLS; the same as `#socket` otherwise. */
  readonly #tcp: net.Socket
  #driver: TlsDriver | null = null
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
  #onDrained: (() => void) | null = null
  #unread: Uint8Array = EMPTY
  #unreadEnd = false

  constructor(
    loop: SocketLoop,
    socket: net.Socket,
    phase: Phase,
    remote: Address,
    local: Address,
    handler: ConnectionHandler,
    holds: number,
  ) {
    this.id = loop.nextId()
    this.#loop = loop
    this.#socket = socket
    this.#tcp = socket
    this.#phase = phase
    this.directRemote = remote
    this.directLocal = local
    this.remote = remote
    this.local = local
    this.handler = handler
    this.readHolds = holds
    this.startTime = loop.timers.now()
    adopt(socket, this)
    if (phase === Phase.Ready && holds === 0) socket.resume()
  }

  /** Descriptor for getsockopt; -1 when it is closed. */
  get fd(): number {
    const handle = (this.#tcp as unknown as { _handle: { fd: number } | null })._handle
    return handle?.fd ?? -1
  }

  get bufferedBytes(): number {
    return this.#queue.length + this.#socket.writableLength
  }

  begin(address: Address, options: ConnectOptions): void {
    const { source } = options
    this.#driver = options.tls
    this.encrypted = options.tls !== null
    if (options.connectTimeout > 0) {
      this.#connectTimer = new TimerNode(this, TIMER_CONNECT)
      this.#loop.timers.arm(this.#connectTimer, options.connectTimeout)
    }
    if (isPipe(address)) {
      // A leading '@' stands for the NUL of Linux' abstract names.
      this.#tcp.connect({ path: address.ip[0] === '@' ? `\0${address.ip.slice(1)}` : address.ip })
    } else if (source === null) {
      this.#tcp.connect({ host: address.ip, port: address.port })
    } else {
      this.#tcp.connect({ host: address.ip, port: address.port, localAddress: source.ip, localPort: source.port })
    }
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
    if (queue.length + this.#socket.writableLength <= this.#high) return Flow.Continue
    this.#above = true
    return Flow.Pause
  }

  /** Called by the loop at the end of the turn. */
  flush(): void {
    this.#dirty = false
    if (this.#phase < Phase.Ready || this.#phase === Phase.Gone) return
    if (this.#queue.length > 0) this.#send()
    // After all, all of it went out at once: there will be no callback that says so.
    if (this.#above && this.#socket.writableLength <= this.#low) this.#drained()
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
    if (this.#queue.length > 0) this.#send()
    this.#socket.end()
  }

  close(how: CloseHow, why: CloseReason = CloseReason.Local): void {
    if (this.#phase === Phase.Gone) return
    const again = this.closed
    if (!again) {
      this.closed = true
      this.#why = why
    }
    if (how === CloseHow.Reset && this.#tcp.remoteAddress !== undefined && !isPipe(this.directRemote)) {
      this.#tcp.resetAndDestroy()
      return
    }
    if (how === CloseHow.NoFlush || how === CloseHow.Reset || this.#phase < Phase.Ready) {
      this.#destroy()
      return
    }
    if (again) return
    if (this.#queue.length > 0) this.#send()
    this.#closeTimer = new TimerNode(this, TIMER_CLOSE)
    this.#lastPending = this.#socket.writableLength
    if (how === CloseHow.FlushAndDelay && this.#delayedClose > 0) {
      this.#phase = Phase.Draining
      this.#loop.timers.arm(this.#closeTimer, this.#delayedClose)
      this.#socket.end()
      // Its answer to our FIN is only seen while reading; what it still sends is thrown away.
      this.#socket.resume()
      if (this.#socket.readableEnded) this.#socket.destroySoon()
    } else {
      this.#phase = Phase.Flushing
      this.#loop.timers.arm(this.#closeTimer, FLUSH_STALL)
      this.#socket.destroySoon()
    }
  }

  holdReading(bit: number, hold: boolean): void {
    const before = this.readHolds
    this.readHolds = hold ? before | bit : before & ~bit
    if ((this.#phase !== Phase.Ready && this.#phase !== Phase.Hello) || before === this.readHolds) return
    if (before === 0) this.#socket.pause()
    else if (this.readHolds === 0) {
      if (this.#unread.length > 0 || this.#unreadEnd) this.#deliverUnread()
      if (this.readHolds === 0 && !this.closed) this.#socket.resume()
    }
  }

  setKeepAlive(probes: number, time: number, interval: number): void {
    const options = { enable: true, initialDelay: time * 1000, interval: interval * 1000, count: probes }
    // 0 leaves the system's value: Node does that for the delay, and for the others when they are absent.
    if (probes > 0 && interval > 0) this.#tcp.setKeepAlive(options as unknown as boolean)
    else this.#tcp.setKeepAlive(true, time * 1000)
  }

  onTimer(kind: number): void {
    if (kind === TIMER_CONNECT) {
      this.#abandon(CloseReason.ConnectTimeout)
      return
    }
    const pending = this.#socket.writableLength
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
    this.directLocal = localAddress(this.#tcp)
    this.local = this.directLocal
    if (this.#driver !== null) this.#handshake(EMPTY)
    else this.#ready()
  }

  onSecure(): void {
    if (this.#phase !== Phase.Handshaking || this.#driver === null) return
    const socket = this.#socket as tls.TLSSocket
    const info = this.#driver.onSecure(socket, this)
    if (info === null) {
      // Tried at once by libuv, before the TLS socket would send its own last flight, which the destroy drops.
      if (this.refusalAlert !== '') this.#tcp.write(this.refusalAlert, 'latin1')
      this.#abandon(CloseReason.TransportFailed)
      return
    }
    this.tls = info
    this.#ready()
  }

  /** `length` bytes are in the loop's read buffer. False stops reading. */
  onRead(length: number): boolean {
    this.onBytes(this.#loop.take(length))
    return this.readHolds === 0 || this.closed
  }

  onBytes(chunk: Uint8Array): void {
    if (this.readHolds !== 0 && !this.closed) {
      // A resume that Node had scheduled before the hold still reads once: kept until the hold is gone.
      this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk])
      return
    }
    this.bytesReceived += chunk.length
    if (this.closed) return
    if (this.prelude === null) this.handler.onData(this, chunk, false)
    else this.#readPrelude(chunk, false)
  }

  onEnd(): void {
    if (this.#phase === Phase.Draining) this.#socket.destroySoon()
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
      this.transportFailure = connectFailure(error.code ?? '', this.directRemote)
    } else if (this.#phase === Phase.Handshaking && this.#driver !== null) {
      this.#why = CloseReason.TransportFailed
      this.transportFailure = this.#driver.onHandshakeError(error, this)
    } else {
      this.#why = CloseReason.RemoteReset
      if (this.#driver !== null) this.transportFailure = this.#driver.onHandshakeError(error, this)
    }
    // TLS reports a record that is no good, and leaves the socket open.
    if (!this.#socket.destroyed) this.#destroy()
  }

  onGone(): void {
    if (this.#phase === Phase.Gone) return
    this.#phase = Phase.Gone
    this.closed = true
    this.#queue.clear()
    this.#stopConnectTimer()
    if (this.#closeTimer !== null) this.#loop.timers.cancel(this.#closeTimer)
    this.handler.onClose(this, this.#why)
  }

  #handshake(first: Uint8Array): void {
    this.#phase = Phase.Handshaking
    const tcp = this.#tcp
    if (first.length > 0) {
      // A flowing stream would hand the bytes to nobody.
      tcp.pause()
      tcp.unshift(first)
    }
    const socket = this.#driver!.wrap(tcp, this)
    if (socket === null) {
      this.#abandon(CloseReason.TransportFailed)
      return
    }
    disown(tcp)
    this.#socket = socket
    adopt(socket, this)
    adoptTls(socket, this.#loop.readBuffer)
  }

  #ready(): void {
    this.#stopConnectTimer()
    this.#phase = Phase.Ready
    if (this.readHolds === 0) this.#socket.resume()
    else this.#socket.pause()
    this.handler.onConnected?.(this)
    if (this.closed) return
    if (this.#queue.length > 0) this.flush()
    if (this.#ended) this.#socket.end()
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

  #send(): void {
    this.#queue.writeTo(this.#socket, this.#above ? this.#drainedCallback() : undefined)
  }

  #drainedCallback(): () => void {
    this.#onDrained ??= () => {
      if (this.#above && this.bufferedBytes <= this.#low) this.#drained()
    }
    return this.#onDrained
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
    this.#socket.destroy()
    if (this.#tcp !== this.#socket) this.#tcp.destroy()
  }

  #stopConnectTimer(): void {
    if (this.#connectTimer === null) return
    this.#loop.timers.cancel(this.#connectTimer)
    this.#connectTimer = null
  }
}

const NONE: readonly string[] = []

import { type CodecStream, ResetReason } from '../codec/codec.ts'
import { HeaderBlock } from '../codec/header-block.ts'
import type { CloseHow, Connection, Flow } from '../io/connection.ts'
import { CloseReason } from '../io/connection.ts'
import { HeaderMutation } from '../routing/header-mutation.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import type { StateObject } from '../telemetry/format-operators-metadata.ts'
import { compileFormat, type TextFormatter } from '../telemetry/formatter.ts'
import { type Host, type HttpPoolUser, PoolFailure, type PoolHandle } from '../upstream/upstream.ts'
import type { TunnelConfig } from './tcp-proxy-config.ts'

/** What a session writes to: the upstream connection, or a stream of one. */
export interface TcpUpstream {
  readonly closed: boolean
  readonly bufferedBytes: number
  readonly bytesReceived: number
  readonly bytesSent: number
  write(chunk: Uint8Array): Flow
  /** The client has ended its side. */
  end(): void
  close(how: CloseHow, why?: CloseReason): void
  holdReading(bit: number, hold: boolean): void
}

/** Whom a tunnel serves. */
export interface TunnelUser extends FormatContext {
  /** The other side has agreed: bytes may flow. */
  onTunnelReady(tunnel: TcpTunnel, host: Host, connection: Connection): void
  onTcpFailure(failure: PoolFailure, host: Host, transportFailure: string): void
  onTunnelData(chunk: Uint8Array, end: boolean): void
  onTunnelWritable(): void
  onTunnelClosed(why: CloseReason): void
}

/** tunneling_config on a worker. */
export class Tunneling {
  readonly config: TunnelConfig
  readonly #hostname: TextFormatter
  readonly #headers: HeaderMutation

  constructor(config: TunnelConfig) {
    this.config = config
    this.#hostname = compileFormat(config.hostname)
    this.#headers = new HeaderMutation(config.headersToAdd, [])
  }

  /** `encrypted`: the connection that it goes over. */
  head(context: FormatContext, encrypted: boolean): HeaderBlock {
    const { usePost, postPath } = this.config
    const h = new HeaderBlock()
    h.method = usePost ? 'POST' : 'CONNECT'
    h.authority = this.#hostname.format(context)
    if (usePost) {
      h.path = postPath
      h.scheme = encrypted ? 'https' : 'http'
    }
    this.#headers.apply(h, context)
    return h
  }
}

/** A TCP connection as the body of a CONNECT or POST request (Envoy: HttpConnPool and HttpUpstream of tcp_proxy). */
export class TcpTunnel implements TcpUpstream, HttpPoolUser, PoolHandle {
  closed = false
  bytesReceived = 0
  bytesSent = 0
  readonly #user: TunnelUser
  readonly #tunneling: Tunneling
  #handle: PoolHandle | null = null
  #stream: CodecStream | null = null
  #host: Host | null = null
  #connection: Connection | null = null
  #http1 = false
  #agreed = false
  #requestEnded = false
  #responseEnded = false

  constructor(user: TunnelUser, tunneling: Tunneling) {
    this.#user = user
    this.#tunneling = tunneling
  }

  /** What a pool gave for it; null when it has called back already. */
  waitFor(handle: PoolHandle | null): void {
    if (!this.closed && this.#stream === null) this.#handle = handle
  }

  /** Nobody wants it any more. Never calls back. */
  cancel(): void {
    const handle = this.#handle
    this.#handle = null
    handle?.cancel()
    this.#drop()
  }

  get bufferedBytes(): number {
    return this.#stream === null ? 0 : this.#stream.bufferedBytes
  }

  write(chunk: Uint8Array): Flow {
    return this.#stream === null ? 0 : this.#stream.encodeData(chunk, false)
  }

  end(): void {
    if (this.#requestEnded || this.closed) return
    this.#requestEnded = true
    // HTTP/1 cannot end one side of a tunnel: the connection goes, and the client is told so.
    if (this.#http1) {
      this.#finish(CloseReason.Local)
      return
    }
    const stream = this.#stream
    if (this.#responseEnded) this.#release()
    stream?.encodeData(NOTHING, true)
    if (this.#responseEnded) this.#finish(CloseReason.Remote)
  }

  close(): void {
    this.#drop()
  }

  holdReading(bit: number, hold: boolean): void {
    this.#stream?.holdReading(bit, hold)
  }

  onPoolReady(stream: CodecStream, host: Host, connection: Connection, protocol: string): void {
    this.#handle = null
    if (this.closed) {
      stream.reset(ResetReason.Local)
      return
    }
    this.#stream = stream
    this.#host = host
    this.#connection = connection
    this.#http1 = protocol !== 'HTTP/2'
    stream.encodeHeaders(this.#tunneling.head(this.#user, connection.encrypted), false)
  }

  onPoolFailure(failure: PoolFailure, host: Host, transportFailure: string): void {
    this.#handle = null
    if (this.closed) return
    this.closed = true
    this.#user.onTcpFailure(failure, host, transportFailure)
  }

  onResponseHeaders(h: HeaderBlock, end: boolean): void {
    if (this.closed || (h.status >= 100 && h.status < 200)) return
    if (this.#tunneling.config.propagateResponseHeaders) this.#tell(RESPONSE_HEADERS, h)
    // RFC 9110 §9.3.6: any 2xx means that the connection is there. What ends with its head carries nothing.
    if (h.status < 200 || h.status > 299 || end) {
      this.#refused(`tunnel_response:${h.status}`)
      return
    }
    this.#agreed = true
    this.#user.onTunnelReady(this, this.#host!, this.#connection!)
  }

  onResponseData(chunk: Uint8Array, end: boolean): Flow {
    if (this.closed || !this.#agreed) return 0
    this.#count()
    this.#received(chunk, end)
    return 0
  }

  onResponseTrailers(t: HeaderBlock): void {
    if (this.closed || !this.#agreed) return
    if (this.#tunneling.config.propagateResponseTrailers) this.#tell(RESPONSE_TRAILERS, t)
    this.#received(NOTHING, true)
  }

  onUpstreamReset(): void {
    if (this.closed) return
    if (!this.#agreed) {
      this.#stream = null
      this.#refused('')
      return
    }
    this.#count()
    this.#stream = null
    this.closed = true
    this.#user.onTunnelClosed(CloseReason.Remote)
  }

  onUpstreamWritable(): void {
    if (!this.closed) this.#user.onTunnelWritable()
  }

  #received(chunk: Uint8Array, end: boolean): void {
    if (end) this.#responseEnded = true
    if (end && this.#requestEnded) this.#release()
    this.#user.onTunnelData(chunk, end)
    if (end && this.#requestEnded && !this.closed) this.#finish(CloseReason.Remote)
  }

  /** Both sides have ended: the stream is its pool's again. */
  #release(): void {
    this.#count()
    this.#stream = null
  }

  #refused(why: string): void {
    const host = this.#host!
    this.#drop()
    this.#user.onTcpFailure(PoolFailure.RemoteConnectionFailure, host, why)
  }

  #finish(why: CloseReason): void {
    this.#drop()
    this.#user.onTunnelClosed(why)
  }

  #drop(): void {
    this.#count()
    this.closed = true
    const stream = this.#stream
    this.#stream = null
    stream?.reset(ResetReason.Local)
  }

  #count(): void {
    const stream = this.#stream
    if (stream === null) return
    this.bytesReceived = stream.wireBytesReceived
    this.bytesSent = stream.wireBytesSent
  }

  #tell(key: string, h: HeaderBlock): void {
    this.#user.info.setState(key, new TunnelHeaders(h))
  }
}

const NOTHING = new Uint8Array(0)
/** Filter state that names what the other side answered. */
export const RESPONSE_HEADERS = 'envoy.tcp_proxy.propagate_response_headers'
const RESPONSE_TRAILERS = 'envoy.tcp_proxy.propagate_response_trailers'

/** Headers or trailers of the answer, as they came (Envoy: TunnelResponseHeaders). */
export class TunnelHeaders implements StateObject {
  readonly #fields: { key: string; value: string }[] = []

  constructor(h: HeaderBlock) {
    if (h.status > 0) this.#fields.push({ key: ':status', value: String(h.status) })
    for (let i = 0; i < h.list.length; i += 2) this.#fields.push({ key: h.list[i]!, value: h.list[i + 1]! })
  }

  /** Of the first field of that name, in lower case. */
  get(name: string): string | undefined {
    return this.#fields.find(({ key }) => key === name)?.value
  }

  toJSON(): object {
    return { headers: this.#fields }
  }

  /** It has no plain form. */
  toString(): null {
    return null
  }
}

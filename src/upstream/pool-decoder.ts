import type { CodecStream, ResetReason, StreamDecoder } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { Flow } from '../io/connection.ts'
import type { PoolClient } from './pool-client.ts'
import type { PoolStream } from './pool-stream.ts'
import type { HttpPoolUser } from './upstream.ts'

/** Events of the codec's streams, on their way to whoever asked for the stream. */
export class PoolDecoder implements StreamDecoder {
  private readonly client: PoolClient
  private closeSeen = false

  constructor(client: PoolClient) {
    this.client = client
  }

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    const p = s.user as PoolStream
    if (!p.live) return
    if (this.client.http1?.shouldClose === true && !this.closeSeen) this.noteClose(h)
    if (end) p.remoteEnd = true
    ;(p.user as HttpPoolUser).onResponseHeaders(h, end)
    if (end) this.client.onRemoteEnd(p)
  }

  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    const p = s.user as PoolStream
    if (!p.live) return Flow.Continue
    if (end) p.remoteEnd = true
    const flow = (p.user as HttpPoolUser).onResponseData(chunk, end)
    if (end) this.client.onRemoteEnd(p)
    return flow
  }

  onTrailers(s: CodecStream, t: HeaderBlock): void {
    const p = s.user as PoolStream
    if (!p.live) return
    p.remoteEnd = true
    ;(p.user as HttpPoolUser).onResponseTrailers(t)
    this.client.onRemoteEnd(p)
  }

  onReset(s: CodecStream, why: ResetReason, details: string): void {
    const p = s.user as PoolStream
    if (!p.live) return
    const user = p.user as HttpPoolUser
    if (this.client.http1 === null) this.client.countReset(why)
    else this.client.onHttp1Reset(why)
    this.client.release(p)
    user.onUpstreamReset(why, details)
  }

  onWritable(s: CodecStream): void {
    const p = s.user as PoolStream
    if (p.live) (p.user as HttpPoolUser).onUpstreamWritable()
  }

  onGoAway(): void {
    this.client.onGoAway()
  }

  onConnectionError(_details: string): void {
    this.client.onProtocolError()
  }

  /** upstream_cx_close_notify counts answers that announce the close, not connections that merely end. */
  private noteClose(h: HeaderBlock): void {
    const value = h.get('connection')
    if (value === undefined || !/(^|[\s,])close([\s,]|$)/i.test(value)) return
    this.closeSeen = true
    this.client.pool.cluster.counters.upstreamCxCloseNotify.inc()
  }
}

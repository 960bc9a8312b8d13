import type { CodecStream, ResetReason } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { Flow } from '../io/connection.ts'
import type { PoolClient } from './pool-client.ts'
import type { HttpPoolUser } from './upstream.ts'

/**
 * A codec stream as the pool hands it out: the same calls, but the pool learns when both sides are done or the user resets,
 * which is when requests stop counting and the connection becomes free. Each client keeps its objects for reuse.
 */
export class PoolStream implements CodecStream {
  private readonly client: PoolClient
  inner: CodecStream | null = null
  user: unknown = null
  localEnd = false
  remoteEnd = false
  /** Attached to a request and counted. */
  live = false
  private savedHeaderSent = 0
  private savedHeaderReceived = 0
  private savedWireSent = 0
  private savedWireReceived = 0

  constructor(client: PoolClient) {
    this.client = client
  }

  begin(inner: CodecStream, user: HttpPoolUser): void {
    this.inner = inner
    this.user = user
    this.localEnd = false
    this.remoteEnd = false
    this.live = true
    this.savedHeaderSent = 0
    this.savedHeaderReceived = 0
    this.savedWireSent = 0
    this.savedWireReceived = 0
  }

  /** Keeps the byte counts: whoever logs the request reads them after the codec's stream is gone. */
  finish(): void {
    const s = this.inner
    if (s !== null) {
      this.savedHeaderSent = s.headerBytesSent
      this.savedHeaderReceived = s.headerBytesReceived
      this.savedWireSent = s.wireBytesSent
      this.savedWireReceived = s.wireBytesReceived
    }
    this.inner = null
    this.live = false
  }

  get id(): number {
    return this.inner === null ? 0 : this.inner.id
  }

  get closeAfter(): boolean {
    return this.inner?.closeAfter ?? false
  }

  set closeAfter(value: boolean) {
    if (this.inner !== null) this.inner.closeAfter = value
  }

  get bufferedBytes(): number {
    return this.inner === null ? 0 : this.inner.bufferedBytes
  }

  get headerBytesSent(): number {
    return this.inner === null ? this.savedHeaderSent : this.inner.headerBytesSent
  }

  get headerBytesReceived(): number {
    return this.inner === null ? this.savedHeaderReceived : this.inner.headerBytesReceived
  }

  get wireBytesSent(): number {
    return this.inner === null ? this.savedWireSent : this.inner.wireBytesSent
  }

  get wireBytesReceived(): number {
    return this.inner === null ? this.savedWireReceived : this.inner.wireBytesReceived
  }

  encodeHeaders(h: HeaderBlock, end: boolean): void {
    const inner = this.inner
    if (inner === null) return
    if (end) this.localEnd = true
    inner.encodeHeaders(h, end)
    if (end) this.client.onLocalEnd(this)
  }

  encode1xx(_h: HeaderBlock): void {
    // Requests have no interim heads.
  }

  encodeData(chunk: Uint8Array, end: boolean): Flow {
    const inner = this.inner
    if (inner === null) return 0
    if (end) this.localEnd = true
    const flow = inner.encodeData(chunk, end)
    if (end) this.client.onLocalEnd(this)
    return flow
  }

  encodeTrailers(t: HeaderBlock): void {
    const inner = this.inner
    if (inner === null) return
    this.localEnd = true
    inner.encodeTrailers(t)
    this.client.onLocalEnd(this)
  }

  reset(reason: ResetReason): void {
    if (this.live) this.client.resetByUser(this, reason)
  }

  holdReading(bit: number, hold: boolean): void {
    if (this.inner !== null) this.inner.holdReading(bit, hold)
  }
}

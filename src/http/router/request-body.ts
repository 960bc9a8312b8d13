import { cut } from '../../base/list.ts'
import { keepChunk } from '../../io/chunk-pool.ts'

/** Body of a request as far as it must be kept: for attempts that have no stream yet, for retries and for shadows. */
export class RequestBody {
  readonly chunks: Uint8Array[] = []
  bytes = 0
  /** Retries or shadows need the whole body. */
  keep = false
  /** It outgrew the limit: no retry, no shadow. */
  dropped = false

  /** Everything since the first byte is here. */
  get retained(): boolean {
    return this.keep && !this.dropped
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    // It is sent now and may be sent again.
    if (this.keep) keepChunk(chunk)
    this.chunks.push(chunk)
    this.bytes += chunk.length
  }

  clear(): void {
    cut(this.chunks, 0)
    this.bytes = 0
  }

  reset(): void {
    this.clear()
    this.keep = false
    this.dropped = false
  }
}

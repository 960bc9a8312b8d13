import { cut, narrowList } from '../../base/list.ts'
import { keepChunk, releaseChunk } from '../../io/chunk-pool.ts'

/** Body of a request as far as it must be kept: for attempts that have no stream yet, for retries and for shadows. */
export class RequestBody {
  /** Made for the first chunk: most requests have no body. */
  private list: Uint8Array[] | null = null
  bytes = 0
  /** Retries or shadows need the whole body. */
  keep = false
  /** It outgrew the limit: no retry, no shadow. */
  dropped = false

  get chunks(): readonly Uint8Array[] {
    return this.list ?? NOTHING
  }

  /** Everything since the first byte is here. */
  get retained(): boolean {
    return this.keep && !this.dropped
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    // It is sent now and may be sent again.
    if (this.keep) keepChunk(chunk)
    this.list ??= narrowList()
    this.list.push(chunk)
    this.bytes += chunk.length
  }

  /** `sentOnce`: no chunk was, or will be, sent a second time. */
  clear(sentOnce: boolean): void {
    const { list } = this
    if (list !== null) {
      if (sentOnce && this.keep) for (let i = 0; i < list.length; i++) releaseChunk(list[i]!)
      cut(list, 0)
    }
    this.bytes = 0
  }

  reset(sentOnce: boolean): void {
    this.clear(sentOnce)
    this.keep = false
    this.dropped = false
  }
}

const NOTHING: readonly Uint8Array[] = []

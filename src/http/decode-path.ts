import type { HeaderBlock } from '../codec/header-block.ts'
import { DataVerdict, HeadersVerdict } from './filter.ts'
import type { StreamContext } from './stream-context.ts'

/**
 * The way of a request through the filters, first to last. At most one filter holds it; what comes meanwhile waits in the
 * buffer (Envoy: FilterManager's decoder chain). Lives inside a pooled StreamContext.
 */
export class DecodePath {
  /** A local reply was made: nothing of the request goes on. */
  aborted = false
  /** Made when a filter first holds some of the body. */
  buffer: Uint8Array[] | null = null
  private readonly s: StreamContext
  /** Filters below this index have seen the headers. */
  private at = 0
  /** Filter that holds the request; -1 = none. */
  private hold = -1
  private buffered = 0
  private readerHeld = false

  constructor(s: StreamContext) {
    this.s = s
  }

  start(): void {
    this.at = 0
    this.hold = -1
    this.headersFrom(0)
  }

  data(chunk: Uint8Array, end: boolean): void {
    if (!this.aborted) this.dataFrom(0, chunk, end)
  }

  trailers(): void {
    if (!this.aborted) this.trailersFrom(0)
  }

  /** Goes on after a Stop verdict of filter `index`; a no-op when it does not hold. */
  continue(index: number): void {
    if (this.hold !== index || this.s.finished || this.aborted) return
    this.hold = -1
    if (this.readerHeld) this.holdReader(false)
    this.resume(index)
  }

  /** Puts what filter `index` adds behind the body. */
  add(index: number, chunk: Uint8Array): void {
    if (!this.aborted && !this.s.finished) this.dataFrom(index + 1, chunk, false)
  }

  abort(): void {
    this.aborted = true
    this.hold = -1
    this.buffer = null
    this.buffered = 0
  }

  reset(): void {
    this.aborted = false
    this.at = 0
    this.hold = -1
    this.buffer = null
    this.buffered = 0
    this.readerHeld = false
  }

  private headersFrom(start: number): void {
    const s = this.s
    const filters = s.chain.filters
    const bits = s.chain.decodesHeaders & ~s.skipped
    const h = s.requestHeaders!
    const last = filters.length - 1
    for (let i = start; i <= last; i++) {
      this.at = i + 1
      if (((bits >> i) & 1) === 0) continue
      const end = s.requestComplete && this.buffered === 0 && s.requestTrailers === null
      const verdict = filters[i]!.decodeHeaders!(s, h, end)
      if (s.finished || this.aborted) return
      if (verdict !== HeadersVerdict.Continue) {
        // The last filter is terminal: it took the request, nothing is held for it.
        if (i < last) this.hold = i
        return
      }
    }
  }

  private dataFrom(start: number, chunk: Uint8Array, end: boolean): void {
    const s = this.s
    const filters = s.chain.filters
    const bits = s.chain.decodesData & ~s.skipped
    let d = chunk
    for (let i = start; i < this.at; i++) {
      if (((bits >> i) & 1) === 0) {
        if (i !== this.hold) continue
        this.keep(d, true)
        return
      }
      const verdict = filters[i]!.decodeData!(s, d, end)
      if (s.finished || this.aborted) return
      if (verdict === DataVerdict.Replace) d = s.replacement
      if (verdict === DataVerdict.Continue || verdict === DataVerdict.Replace) {
        if (i !== this.hold) {
          if (d.length === 0 && !end) return
          continue
        }
        this.hold = -1
        if (d.length > 0) this.append(d)
        this.resume(i)
        return
      }
      this.hold = i
      if (verdict !== DataVerdict.StopNoBuffer) this.keep(d, verdict === DataVerdict.StopAndWatermark)
      return
    }
  }

  private trailersFrom(start: number): void {
    const s = this.s
    const filters = s.chain.filters
    const bits = s.chain.decodesTrailers & ~s.skipped
    for (let i = start; i < this.at; i++) {
      if (((bits >> i) & 1) === 0) {
        if (i === this.hold) return
        continue
      }
      const verdict = filters[i]!.decodeTrailers!(s, s.requestTrailers as HeaderBlock)
      if (s.finished || this.aborted) return
      if (verdict !== HeadersVerdict.Continue) {
        this.hold = i
        return
      }
      if (i === this.hold) {
        this.hold = -1
        this.resume(i)
        return
      }
    }
  }

  private resume(from: number): void {
    const s = this.s
    if (this.at === from + 1 && from + 1 < s.chain.size) {
      this.headersFrom(from + 1)
      if (s.finished || this.aborted || this.hold >= 0) return
    }
    const chunks = this.buffer
    if (chunks !== null) {
      this.buffer = null
      this.buffered = 0
      for (let i = 0; i < chunks.length; i++) {
        const end = i === chunks.length - 1 && s.requestComplete && s.requestTrailers === null
        this.dataFrom(from + 1, chunks[i]!, end)
        if (s.finished || this.aborted) return
      }
    }
    if (s.requestTrailers !== null && this.hold < 0) this.trailersFrom(from + 1)
  }

  private append(chunk: Uint8Array): void {
    this.buffer ??= []
    this.buffer.push(chunk)
    this.buffered += chunk.length
  }

  private keep(chunk: Uint8Array, watermark: boolean): void {
    this.append(chunk)
    if (this.buffered <= this.s.requestBufferLimit) return
    if (watermark) {
      if (!this.readerHeld) this.holdReader(true)
      return
    }
    this.s.manager.stats.rqTooLarge.inc()
    this.s.sendLocalReply(413, 'Payload Too Large', 'request_payload_too_large')
  }

  private holdReader(hold: boolean): void {
    this.readerHeld = hold
    this.s.holdRequest(hold)
  }
}

import type { HeaderBlock } from '../codec/header-block.ts'
import { Flow } from '../io/connection.ts'
import { DataVerdict, HeadersVerdict } from './filter.ts'
import type { StreamContext } from './stream-context.ts'

/**
 * The way of a response through the filters, last to first, and into the codec (Envoy: FilterManager's encoder chain).
 * Lives inside a pooled StreamContext.
 */
export class EncodePath {
  /** Made when a filter first holds some of the body. */
  buffer: Uint8Array[] | null = null
  private readonly s: StreamContext
  /** Filters above this index have seen the headers. */
  private at = -1
  /** Filter that holds the response; -1 = none. */
  private hold = -1
  private ended = false
  private hasTrailers = false
  private buffered = 0

  constructor(s: StreamContext) {
    this.s = s
  }

  headers(h: HeaderBlock, end: boolean): void {
    const chain = this.s.chain
    this.ended = end
    if ((chain.encodesHeaders & ~this.s.skipped) === 0) {
      this.at = -1
      this.s.writeHeaders(h, end)
      return
    }
    this.at = chain.size - 1
    this.headersFrom(chain.size - 1)
  }

  data(chunk: Uint8Array, end: boolean): Flow {
    const chain = this.s.chain
    if (end) this.ended = true
    if (this.hold < 0 && (chain.encodesData & ~this.s.skipped) === 0) return this.s.writeData(chunk, end)
    return this.dataFrom(chain.size - 1, chunk, end)
  }

  trailers(): void {
    this.ended = true
    this.hasTrailers = true
    this.trailersFrom(this.s.chain.size - 1)
  }

  /** Gives on what filter `index` took with StopNoBuffer. */
  inject(index: number, chunk: Uint8Array, end: boolean): void {
    if (end) this.hold = -1
    this.dataFrom(index - 1, chunk, end)
  }

  continue(index: number): void {
    if (this.hold !== index || this.s.finished) return
    this.hold = -1
    this.resume(index)
  }

  reset(): void {
    this.at = -1
    this.hold = -1
    this.ended = false
    this.hasTrailers = false
    this.buffer = null
    this.buffered = 0
  }

  private headersFrom(start: number): void {
    const s = this.s
    const filters = s.chain.filters
    const bits = s.chain.encodesHeaders & ~s.skipped
    const h = s.responseHeaders!
    for (let i = start; i >= 0; i--) {
      this.at = i - 1
      if (((bits >> i) & 1) === 0) continue
      const verdict = filters[i]!.encodeHeaders!(s, h, this.bare())
      if (s.finished) return
      if (verdict !== HeadersVerdict.Continue) {
        this.hold = i
        return
      }
    }
    s.writeHeaders(h, this.bare())
  }

  /** Nothing follows the headers. */
  private bare(): boolean {
    return this.ended && this.buffered === 0 && !this.hasTrailers
  }

  private dataFrom(start: number, chunk: Uint8Array, end: boolean): Flow {
    const s = this.s
    const filters = s.chain.filters
    const bits = s.chain.encodesData & ~s.skipped
    let d = chunk
    for (let i = start; i > this.at; i--) {
      if (((bits >> i) & 1) === 0) {
        if (i !== this.hold) continue
        return this.keep(d, true)
      }
      const verdict = filters[i]!.encodeData!(s, d, end)
      if (s.finished) return Flow.Continue
      if (verdict === DataVerdict.Replace) d = s.replacement
      if (verdict === DataVerdict.Continue || verdict === DataVerdict.Replace) {
        if (i !== this.hold) {
          if (d.length === 0 && !end) return Flow.Continue
          continue
        }
        this.hold = -1
        if (d.length > 0) this.append(d)
        this.resume(i)
        return Flow.Continue
      }
      this.hold = i
      if (verdict === DataVerdict.StopNoBuffer) return Flow.Continue
      return this.keep(d, verdict === DataVerdict.StopAndWatermark)
    }
    return s.writeData(d, end)
  }

  private trailersFrom(start: number): void {
    const s = this.s
    const filters = s.chain.filters
    const bits = s.chain.encodesTrailers & ~s.skipped
    for (let i = start; i > this.at; i--) {
      if (((bits >> i) & 1) === 0) {
        if (i === this.hold) return
        continue
      }
      const verdict = filters[i]!.encodeTrailers!(s, s.responseTrailers!)
      if (s.finished) return
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
    s.writeTrailers()
  }

  private resume(from: number): void {
    const s = this.s
    if (this.at === from - 1 && !s.responseStarted) {
      this.headersFrom(from - 1)
      if (s.finished || this.hold >= 0) return
    }
    const chunks = this.buffer
    if (chunks !== null) {
      this.buffer = null
      this.buffered = 0
      for (let i = 0; i < chunks.length; i++) {
        const end = i === chunks.length - 1 && this.ended && !this.hasTrailers
        this.dataFrom(from - 1, chunks[i]!, end)
        if (s.finished) return
      }
    }
    if (this.hold >= 0) return
    if (this.hasTrailers) this.trailersFrom(from - 1)
    else s.responseSource?.holdUpstream(false)
  }

  private append(chunk: Uint8Array): void {
    this.buffer ??= []
    this.buffer.push(chunk)
    this.buffered += chunk.length
  }

  private keep(chunk: Uint8Array, watermark: boolean): Flow {
    const s = this.s
    this.append(chunk)
    if (this.buffered <= s.manager.bufferLimit) return Flow.Continue
    if (watermark) return Flow.Pause
    s.manager.stats.rsTooLarge.inc()
    if (s.responseStarted) {
      s.resetStream()
      return Flow.Continue
    }
    this.reset()
    s.responseHeaders = null
    s.sendLocalReply(500, 'Internal Server Error', 'response_payload_too_large')
    return Flow.Continue
  }
}

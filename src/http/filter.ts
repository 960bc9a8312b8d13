import type { HeaderBlock } from '../codec/header-block.ts'
import type { StreamContext } from './stream-context.ts'

/** What the chain does after a headers or trailers hook (envoy/http/filter.h FilterHeadersStatus, FilterTrailersStatus). */
export const HeadersVerdict = {
  Continue: 0,
  /** Hold headers; body is buffered by the chain up to the buffer limit until `continueDecoding/Encoding`. */
  StopIteration: 1,
  /** As StopIteration, and reading is held at the watermark instead of failing with 413. */
  StopAllAndWatermark: 2,
} as const
export type HeadersVerdict = (typeof HeadersVerdict)[keyof typeof HeadersVerdict]

export const DataVerdict = {
  Continue: 0,
  /** Keep this chunk in the chain's buffer (413 / 500 above the limit). */
  StopAndBuffer: 1,
  /** Keep it, and hold the reader above the limit. */
  StopAndWatermark: 2,
  /** The filter took the chunk. */
  StopNoBuffer: 3,
  /** `s.replacement` goes on instead of the chunk; empty and not the end: nothing goes on. */
  Replace: 4,
} as const
export type DataVerdict = (typeof DataVerdict)[keyof typeof DataVerdict]

/**
 * An HTTP filter. One object serves all streams of a worker; per-stream state lives in `s.slot(index)`, made by `newState`.
 * Hooks are compiled into one array per hook when the chain is built: an absent hook costs nothing.
 * Synchronous; a filter that waits returns a Stop verdict and calls `s.continueDecoding(index)` / `s.continueEncoding(index)`.
 */
export interface HttpFilter<S = unknown> {
  /** Set by the chain: position in the chain, key for `s.slot`, `s.routeConfig` and `continue…`. */
  index: number
  /** Configured filter name: key of typed_per_filter_config. */
  name: string
  newState?(): S
  decodeHeaders?(s: StreamContext, h: HeaderBlock, end: boolean): HeadersVerdict
  decodeData?(s: StreamContext, d: Uint8Array, end: boolean): DataVerdict
  decodeTrailers?(s: StreamContext, t: HeaderBlock): HeadersVerdict
  encodeHeaders?(s: StreamContext, h: HeaderBlock, end: boolean): HeadersVerdict
  encodeData?(s: StreamContext, d: Uint8Array, end: boolean): DataVerdict
  encodeTrailers?(s: StreamContext, t: HeaderBlock): HeadersVerdict
  /** Always called once per stream for which any hook could have run, also after resets. Cancel timers here. */
  onDestroy?(s: StreamContext): void
}

import type { HeaderBlock } from './header-block.ts'

/** Where a header may stand. */
export const Side = { Request: 1, Response: 2, Trailers: 4 } as const
export type Side = (typeof Side)[keyof typeof Side]

/**
 * A header of which a message has one at most: a second one is joined to the first with a comma. These are the real proxy's "inline
 * headers" (envoy/http/header_map.h, and what its extensions register); others may be repeated. One object for each name, so that
 * finding a repetition costs a comparison.
 */
export class InlineHeader {
  readonly sides: number
  /** The last block that had it. */
  #block = 0

  constructor(sides: number) {
    this.sides = sides
  }

  /** Whether the block has had it before; see `nextBlock`. */
  repeatedIn(block: number, side: Side): boolean {
    if ((this.sides & side) === 0) return false
    if (this.#block === block) return true
    this.#block = block
    return false
  }
}

const REQUEST = `accept accept-encoding access-control-request-headers access-control-request-method
  access-control-request-private-network authorization cache-control cdn-loop content-encoding content-type grpc-accept-encoding
  grpc-timeout if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive origin pragma proxy-status referer te
  user-agent via x-client-trace-id x-envoy-attempt-count x-envoy-decorator-operation x-envoy-downstream-service-cluster
  x-envoy-downstream-service-node x-envoy-expected-rq-timeout-ms x-envoy-external-address x-envoy-force-trace
  x-envoy-hedge-on-per-try-timeout x-envoy-internal x-envoy-ip-tags x-envoy-max-retries x-envoy-original-path
  x-envoy-retriable-header-names x-envoy-retriable-status-codes x-envoy-retry-grpc-on x-envoy-retry-on x-envoy-upstream-alt-stat-name
  x-envoy-upstream-rq-per-try-timeout-ms x-envoy-upstream-rq-timeout-alt-response x-envoy-upstream-rq-timeout-ms
  x-envoy-upstream-stream-duration-ms x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto
  x-request-id`
const RESPONSE = `access-control-allow-credentials access-control-allow-headers access-control-allow-methods
  access-control-allow-origin access-control-expose-headers access-control-max-age age cache-control content-encoding content-type
  date etag expires grpc-message grpc-status keep-alive last-modified location proxy-status server vary via x-envoy-attempt-count
  x-envoy-decorator-operation x-envoy-degraded x-envoy-immediate-health-check-fail x-envoy-ratelimited x-envoy-upstream-canary
  x-envoy-upstream-healthchecked-cluster x-envoy-upstream-service-time x-request-id`
const TRAILERS = 'grpc-message grpc-status'

const all = new Map<string, InlineHeader>()
for (const [names, side] of [
  [REQUEST, Side.Request],
  [RESPONSE, Side.Response],
  [TRAILERS, Side.Trailers],
] as const) {
  for (const name of names.split(/\s+/)) all.set(name, new InlineHeader((all.get(name)?.sides ?? 0) | side))
}

/** By the name in lower case; null for headers that may be repeated. */
export function inlineHeader(name: string): InlineHeader | null {
  return all.get(name) ?? null
}

/** Adds `value` as the real proxy's HeaderMap::addCopy does. `name`: interned, and no pseudo header; `inline` is its `inlineHeader`. */
export function addCopy(h: HeaderBlock, name: string, inline: InlineHeader | null, value: string, side: Side): void {
  if (inline !== null && (inline.sides & side) !== 0 && h.has(name)) joinValue(h.list, name, value)
  else h.push(name, value)
}

let blocks = 0

/** Names the block that is parsed from here on; it has to be parsed to its end in one go. */
export function nextBlock(): number {
  blocks = (blocks + 1) & 0x3fffffff
  return blocks
}

/** Joins `value` to the first `name` of a flat list of names and values, which must be there. Returns the index of the joined value. */
export function joinValue(list: string[], name: string, value: string): number {
  let at = 0
  while (list[at] !== name) at += 2
  const old = list[at + 1]!
  if (value !== '') list[at + 1] = old === '' ? value : `${old},${value}`
  return at + 1
}

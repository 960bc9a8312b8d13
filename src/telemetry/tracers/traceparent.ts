import type { HeaderBlock } from '../../codec/header-block.ts'

/** https://www.w3.org/TR/trace-context: a context that came with a request. */
export interface TraceParent {
  readonly traceId: string
  readonly parentId: string
  readonly sampled: boolean
}

const LENGTH = 55
const FORM = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]([0-9a-f])$/i

/** Null: malformed. Any version is taken, `ff` too, as Envoy does. */
export function parseTraceParent(text: string): TraceParent | null {
  if (text.length !== LENGTH) return null
  const found = FORM.exec(text)
  if (found === null) return null
  const traceId = found[1]!.toLowerCase()
  const parentId = found[2]!.toLowerCase()
  if (isZero(traceId) || isZero(parentId)) return null
  return { traceId, parentId, sampled: (Number.parseInt(found[3]!, 16) & 1) === 1 }
}

export function formatTraceParent(traceId: string, spanId: string, sampled: boolean): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`
}

/** Values of all `tracestate` fields; '' = none. */
export function traceState(h: HeaderBlock): string {
  return h.getAll('tracestate') ?? ''
}

function isZero(id: string): boolean {
  for (let i = 0; i < id.length; i++) if (id.charCodeAt(i) !== 0x30) return false
  return true
}

import type { HeaderBlock } from '../../../codec/header-block.ts'

/** https://github.com/openzipkin/b3-propagation. Ids are lower-case hex. */
export interface B3Context {
  /** 16 or 32 digits. */
  readonly traceId: string
  readonly spanId: string
  /** '' = none. */
  readonly parentId: string
}

/** Whether the trace is recorded: what the headers say of it, else `decided`. */
export function b3Sampled(h: HeaderBlock, single: string | undefined, decided: boolean): boolean {
  if (single !== undefined) {
    const at = SAMPLED_AT[single.length]
    if (at === undefined) return decided
    const flag = single[at]!
    return isFlag(flag) ? flag !== '0' : decided
  }
  const multi = h.get('x-b3-sampled')
  // Old tracers wrote `true`.
  return multi === undefined ? decided : multi === '1' || multi === 'true'
}

/** Where the flag of a single header stands, by its length: the flag alone, then ids of 16 or 32 digits with and without parent. */
const SAMPLED_AT: Readonly<Record<number, number>> = { 1: 0, 35: 34, 51: 50, 52: 34, 68: 50 }

/** Undefined: there is none. Null: it cannot be read. */
export function readB3(h: HeaderBlock, single: string | undefined): B3Context | null | undefined {
  if (single !== undefined) return readSingle(single)
  const trace = h.get('x-b3-traceid')
  const span = h.get('x-b3-spanid')
  if (trace === undefined || span === undefined) return undefined
  const traceId = trace.length === 32 ? joined(id(trace.slice(0, 16)), id(trace.slice(16))) : id(trace)
  const spanId = id(span)
  const parent = h.get('x-b3-parentspanid') ?? ''
  const parentId = parent === '' ? '' : id(parent)
  if (traceId === null || spanId === null || parentId === null) return null
  return { traceId, spanId, parentId: parentId === ZERO ? '' : parentId }
}

const SINGLE = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-[01d](?:-([0-9a-f]{16}))?)?$/i

function readSingle(single: string): B3Context | null | undefined {
  if (single.length === 1) return isFlag(single) ? undefined : null
  const found = SINGLE.exec(single)
  if (found === null) return null
  const trace = found[1]!.toLowerCase()
  const parent = (found[3] ?? '').toLowerCase()
  return {
    traceId: trace.length === 32 ? joined(trace.slice(0, 16), trace.slice(16))! : trace,
    spanId: found[2]!.toLowerCase(),
    parentId: parent === ZERO ? '' : parent,
  }
}

const ZERO = '0000000000000000'

/** The upper half of a trace id goes when it is zero: it is one of 64 bits then. */
function joined(high: string | null, low: string | null): string | null {
  if (high === null || low === null) return null
  return high === ZERO ? low : high + low
}

/** Up to 64 bits, written with 16 digits; null when it is no number. */
function id(text: string): string | null {
  const found = /^0*([0-9a-f]{1,16})$/i.exec(text)
  return found === null ? null : found[1]!.toLowerCase().padStart(16, '0')
}

function isFlag(text: string): boolean {
  return text === '0' || text === '1' || text === 'd'
}

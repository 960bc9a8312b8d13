import { internalized } from '../base/internalized.ts'
import { cut } from '../base/list.ts'

/**
 * A header block: pseudo headers as fields, all others in one flat array `[name, value, name, value, …]` in wire
 * order. Names are lower-cased and interned (`internName`), so that comparing two names compares two pointers.
 * Values are latin1 strings: one char per byte (RFC 9110 §5.5 field values are octets).
 */
export class HeaderBlock {
  list: string[]
  /** `:method`; '' when absent (as in responses and trailers). */
  method = ''
  /** `:path`, the request target with query; '' when absent. */
  path = ''
  /** `:authority` (HTTP/1: Host); '' when absent. */
  authority = ''
  /** The authority is there and empty (`Host:` without a value). */
  emptyAuthority = false
  /** `:scheme`; '' when absent. */
  scheme = ''
  /** `:protocol` of an extended CONNECT (RFC 8441); '' when absent. */
  protocol = ''
  /** `:status` of a response; 0 in requests and trailers. */
  status = 0
  /** Bytes the block took on the wire, as received (HTTP/1: head bytes; HTTP/2: HPACK bytes); 0 when made here. */
  wireBytes = 0
  /** Order in which HTTP/2 pseudo headers came: three bits each (`PseudoOrder`), first one highest; 0 = as from HTTP/1. */
  pseudoOrder = 0

  constructor(list: string[] = []) {
    this.list = list
  }

  /** Value of a header (first one if repeated) or of a pseudo header; undefined when absent. `name` must be lower-case. */
  get(name: string): string | undefined {
    const list = this.list
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1]
    return name.charCodeAt(0) === 58 /* : */ ? this.getPseudo(name) : undefined
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** All values joined by a comma without blank, as Envoy's matchers see them; undefined when absent. */
  getAll(name: string): string | undefined {
    const list = this.list
    let joined: string | undefined
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) joined = joined === undefined ? list[i + 1]! : `${joined},${list[i + 1]!}`
    }
    return joined ?? (name.charCodeAt(0) === 58 ? this.getPseudo(name) : undefined)
  }

  /** Appends; `name` must be interned or a literal in lower case. Never a pseudo header. */
  push(name: string, value: string): void {
    this.list.push(name, value)
  }

  /** Replaces the first occurrence in place and drops the others; appends when absent. Sets pseudo headers too. */
  set(name: string, value: string): void {
    if (name.charCodeAt(0) === 58) {
      this.setPseudo(name, value)
      return
    }
    const list = this.list
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) {
        list[i + 1] = value
        this.removeFrom(i + 2, name)
        return
      }
    }
    list.push(name, value)
  }

  /** Removes every occurrence; true when there was one. */
  remove(name: string): boolean {
    return this.removeFrom(0, name)
  }

  clear(): void {
    cut(this.list, 0)
    this.method = ''
    this.path = ''
    this.authority = ''
    this.emptyAuthority = false
    this.scheme = ''
    this.protocol = ''
    this.status = 0
    this.wireBytes = 0
    this.pseudoOrder = 0
  }

  /** Copies everything from `other`; the list is copied, the strings are shared. */
  copyFrom(other: HeaderBlock): void {
    const list = this.list
    const from = other.list
    cut(list, 0)
    for (let i = 0; i < from.length; i++) list.push(from[i]!)
    this.method = other.method
    this.path = other.path
    this.authority = other.authority
    this.emptyAuthority = other.emptyAuthority
    this.scheme = other.scheme
    this.protocol = other.protocol
    this.status = other.status
    this.wireBytes = other.wireBytes
    this.pseudoOrder = other.pseudoOrder
  }

  /** Appends all but the pseudo headers of `other`. */
  copyFields(other: HeaderBlock): void {
    const from = other.list
    for (let i = 0; i < from.length; i++) this.list.push(from[i]!)
  }

  /** Envoy's HeaderMap::byteSize: names plus values, pseudo headers included. */
  byteSize(): number {
    let bytes = 0
    const list = this.list
    for (let i = 0; i < list.length; i++) bytes += list[i]!.length
    if (this.method !== '') bytes += 7 + this.method.length
    if (this.path !== '') bytes += 5 + this.path.length
    if (this.authority !== '') bytes += 10 + this.authority.length
    if (this.scheme !== '') bytes += 7 + this.scheme.length
    if (this.protocol !== '') bytes += 9 + this.protocol.length
    if (this.status !== 0) bytes += 10
    return bytes
  }

  private removeFrom(start: number, name: string): boolean {
    const list = this.list
    let to = start
    for (let i = start; i < list.length; i += 2) {
      if (list[i] === name) continue
      if (to !== i) {
        list[to] = list[i]!
        list[to + 1] = list[i + 1]!
      }
      to += 2
    }
    if (to === list.length) return false
    cut(list, to)
    return true
  }

  private getPseudo(name: string): string | undefined {
    switch (name) {
      case ':method':
        return this.method === '' ? undefined : this.method
      case ':path':
        return this.path === '' ? undefined : this.path
      case ':authority':
        return this.authority === '' && !this.emptyAuthority ? undefined : this.authority
      case ':scheme':
        return this.scheme === '' ? undefined : this.scheme
      case ':protocol':
        return this.protocol === '' ? undefined : this.protocol
      case ':status':
        return this.status === 0 ? undefined : String(this.status)
    }
    return undefined
  }

  private setPseudo(name: string, value: string): void {
    switch (name) {
      case ':method':
        this.method = value
        break
      case ':path':
        this.path = value
        break
      case ':authority':
        this.authority = value
        break
      case ':scheme':
        this.scheme = value
        break
      case ':protocol':
        this.protocol = value
        break
      case ':status':
        this.status = Number(value)
        break
    }
  }
}

/** Digits of `HeaderBlock.pseudoOrder`. */
export const PseudoOrder = { Method: 1, Path: 2, Authority: 3, Scheme: 4, Protocol: 5 } as const

const interned = new Map<string, string>()
/** Names come from peers: the table is bounded, later strangers are merely lower-cased. */
const MAX_INTERNED = 4096

/** The canonical lower-case string for a header name in any case. */
export function internName(name: string): string {
  const hit = interned.get(name)
  if (hit !== undefined) return hit
  const lower = name.toLowerCase()
  const known = interned.get(lower)
  if (interned.size >= MAX_INTERNED) return known ?? lower
  const canonical = known ?? internalized(lower)
  interned.set(canonical, canonical)
  if (name !== canonical) interned.set(name, canonical)
  return canonical
}

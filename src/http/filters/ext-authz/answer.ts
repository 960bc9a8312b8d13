import { type HeaderBlock, internName } from '../../../codec/header-block.ts'
import { addCopy, inlineHeader, type Side } from '../../../codec/inline-header.ts'
import type { StringMatchConfig } from '../../../config/matcher.ts'
import { compileStringMatch, type StringMatch } from '../../../config/string-match.ts'
import type { StructFields } from '../../../config/struct-wire.ts'

export const Decision = { Allowed: 0, Denied: 1, Error: 2 } as const
export type Decision = (typeof Decision)[keyof typeof Decision]

/** What becomes of a header (HeaderValueOption's append_action). */
export const Change = {
  /** The only value from now on. */
  Set: 0,
  /** One more. */
  Add: 1,
  /** The deprecated `append`: behind the value that is there, with a comma; nothing without one. */
  Join: 2,
  AddIfAbsent: 3,
  OverwriteIfExists: 4,
} as const
export type Change = (typeof Change)[keyof typeof Change]

export interface HeaderChange {
  /** Lower case. */
  readonly name: string
  /** latin1 */
  readonly value: string
  readonly change: Change
}

/** What an authorization service has said of a request. */
export class AuthzAnswer {
  decision: Decision = Decision.Error
  /** Of the request, or of the reply that denies it. */
  readonly headers: HeaderChange[] = []
  readonly responseHeaders: HeaderChange[] = []
  readonly remove: string[] = []
  /** Key, value, key, value … */
  readonly querySet: string[] = []
  readonly queryRemove: string[] = []
  /** latin1 */
  body = ''
  /** 0 = the filter's own. */
  status = 0
  metadata: StructFields | null = null
  /** It asks for something that does not exist. */
  invalid = false

  /** Anything of the request, or with `names` one of these headers or its query. */
  changesRequest(names: readonly string[]): boolean {
    if (this.querySet.length + this.queryRemove.length > 0) return true
    if (names.length === 0) return this.headers.length + this.remove.length > 0
    return this.headers.some(({ name }) => names.includes(name)) || this.remove.some(name => names.includes(name))
  }
}

/** The order in which Envoy changes a request, and a response: by kind, whatever the order of the answer. */
const REQUEST_ORDER: readonly Change[] = [Change.Set, Change.Add, Change.Join]
const RESPONSE_ORDER: readonly Change[] = [Change.Add, Change.Set, Change.AddIfAbsent, Change.OverwriteIfExists]

export function orderChanges(answer: AuthzAnswer): void {
  const by = (order: readonly Change[]) => (a: HeaderChange, b: HeaderChange) =>
    order.indexOf(a.change) - order.indexOf(b.change)
  answer.headers.sort(by(REQUEST_ORDER))
  answer.responseHeaders.sort(by(RESPONSE_ORDER))
}

/** Told once, perhaps before `check` returns. */
export interface AuthzUser {
  onAnswer(answer: AuthzAnswer): void
}

export function applyChange(h: HeaderBlock, { name, value, change }: HeaderChange, side: Side): void {
  const interned = internName(name)
  if (interned.startsWith(':') || interned === 'host') {
    h.set(interned === 'host' ? ':authority' : interned, value)
    return
  }
  switch (change) {
    case Change.Add:
      addCopy(h, interned, inlineHeader(interned), value, side)
      return
    case Change.Join: {
      const known = h.get(interned)
      if (known !== undefined) h.set(interned, known === '' ? value : `${known},${value}`)
      return
    }
    case Change.AddIfAbsent:
      if (!h.has(interned)) h.push(interned, value)
      return
    case Change.OverwriteIfExists:
      if (!h.has(interned)) return
  }
  // HeaderMap::setCopy: the new value stands at the end.
  h.remove(interned)
  h.push(interned, value)
}

/** One of several patterns of header names. */
export class NamePatterns {
  readonly #matches: readonly StringMatch[]

  constructor(configs: readonly StringMatchConfig[]) {
    this.#matches = configs.map(compileStringMatch)
  }

  get empty(): boolean {
    return this.#matches.length === 0
  }

  has(name: string): boolean {
    for (let i = 0; i < this.#matches.length; i++) if (this.#matches[i]!.matches(name)) return true
    return false
  }
}

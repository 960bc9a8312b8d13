import type { Log } from './log.ts'

/** Beyond this many kinds at once they are written as they come. */
const MAX_KINDS = 1000

/**
 * Warnings about configuration, one line per kind and push: what a control plane sets on one route it sets on every route, and a
 * line for each of ten thousand hides all others. The first text is kept, with how often the same was said of another place.
 */
export class WarningDigest {
  readonly #log: Log
  readonly #kinds = new Map<string, { readonly first: string; count: number }>()

  constructor(log: Log) {
    this.#log = log
  }

  /** Written at the end of the turn, in which a push is read, or with `flush`. */
  add(text: string): void {
    if (this.#kinds.size === 0) setImmediate(() => this.flush())
    const kind = kindOf(text)
    const known = this.#kinds.get(kind)
    if (known === undefined) this.#kinds.set(kind, { first: text, count: 1 })
    else known.count++
    if (this.#kinds.size > MAX_KINDS) this.flush()
  }

  flush(): void {
    for (const { first, count } of this.#kinds.values())
      this.#log.warning(count === 1 ? first : `${first} (first of ${count} places)`)
    this.#kinds.clear()
  }
}

/** The text without what differs from one resource and one list element to the next. */
function kindOf(text: string): string {
  return text.replace(/^(\w+) '[^']*'(?=: )/, '$1').replace(/\[[^\]]*\]/g, '[]')
}

import type { RouteMatchConfig } from './route-config.ts'

/** Below this many routes a plain scan is faster than look-ups. */
const MIN_INDEXED = 12

/** Positions of the routes that can match a path, ascending. Valid until the next call of `candidates`. */
export interface Candidates {
  readonly length: number
  at(n: number): number
}

/**
 * Finds the routes whose literal path part fits, so that a virtual host with thousands of routes asks a few. Routes are
 * first-match: the index only narrows the choice, order stays that of the configuration.
 */
export class RouteIndex {
  readonly #exact = new Map<string, number[]>()
  readonly #prefixes = new Map<string, number[]>()
  /** Distinct prefix lengths, ascending. */
  readonly #lengths: readonly number[]
  /** Routes that no literal can rule out: regex, templates, connect, case-insensitive. */
  readonly #others: readonly number[]
  readonly #used: boolean
  readonly #cursor = new Cursor()

  constructor(matches: readonly RouteMatchConfig[]) {
    this.#used = matches.length >= MIN_INDEXED
    const others: number[] = []
    for (let i = 0; i < matches.length && this.#used; i++) {
      const match = matches[i]!
      if (!match.caseSensitive) others.push(i)
      else if (match.kind === 'path') push(this.#exact, match.text, i)
      else if (match.kind === 'prefix' || match.kind === 'separated') push(this.#prefixes, match.text, i)
      else others.push(i)
    }
    this.#others = others
    this.#lengths = [...new Set([...this.#prefixes.keys()].map(text => text.length))].sort((a, b) => a - b)
  }

  /** Null when the host has too few routes to be indexed. */
  candidates(path: string): Candidates | null {
    if (!this.#used) return null
    const cursor = this.#cursor
    cursor.clear()
    cursor.merge(this.#others)
    const exact = this.#exact.get(path)
    if (exact !== undefined) cursor.merge(exact)
    for (let i = 0; i < this.#lengths.length; i++) {
      const length = this.#lengths[i]!
      if (length > path.length) break
      const found = this.#prefixes.get(length === path.length ? path : path.slice(0, length))
      if (found !== undefined) cursor.merge(found)
    }
    return cursor
  }
}

/** Merges ascending lists lazily: `at` is asked in order, most often only once. */
class Cursor implements Candidates {
  length = 0
  readonly #lists: (readonly number[])[] = []
  readonly #positions: number[] = []
  #count = 0

  clear(): void {
    this.length = 0
    this.#count = 0
  }

  merge(list: readonly number[]): void {
    if (list.length === 0) return
    this.#lists[this.#count] = list
    this.#positions[this.#count] = 0
    this.#count++
    this.length += list.length
  }

  /** `n` must grow by one from call to call. */
  at(_n: number): number {
    let best = -1
    let lowest = Number.MAX_SAFE_INTEGER
    for (let i = 0; i < this.#count; i++) {
      const list = this.#lists[i]!
      const position = this.#positions[i]!
      if (position < list.length && list[position]! < lowest) {
        lowest = list[position]!
        best = i
      }
    }
    this.#positions[best]!++
    return lowest
  }
}

function push(map: Map<string, number[]>, key: string, value: number): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

import type { Runtime } from '../config/services.ts'

interface Entry {
  readonly text: string
  readonly number: number
  readonly boolean: boolean | undefined
  readonly numerator: number
  readonly denominator: number
}

/** Runtime values of one thread. Entries are parsed once, when they arrive; reading is a map lookup. */
export class RuntimeView implements Runtime {
  #entries = new Map<string, Entry>()

  /** Replaces everything: pairs of key and value as text (fractions as JSON). */
  load(entries: readonly (readonly [string, string])[]): void {
    const next = new Map<string, Entry>()
    for (const [key, text] of entries) next.set(key, parseEntry(text))
    this.#entries = next
  }

  get(key: string): string | undefined {
    return this.#entries.get(key)?.text
  }

  integer(key: string, defaultValue: number): number {
    const entry = this.#entries.get(key)
    return entry === undefined || !Number.isInteger(entry.number) || entry.number < 0 ? defaultValue : entry.number
  }

  double(key: string, defaultValue: number): number {
    const entry = this.#entries.get(key)
    return entry === undefined || Number.isNaN(entry.number) ? defaultValue : entry.number
  }

  boolean(key: string, defaultValue: boolean): boolean {
    return this.#entries.get(key)?.boolean ?? defaultValue
  }

  fraction(key: string, numerator: number, denominator: number, random: number): boolean {
    // Looking up costs a hash of the key; with every request, and mostly there is nothing.
    const entry = key === '' || this.#entries.size === 0 ? undefined : this.#entries.get(key)
    if (entry !== undefined) {
      if (entry.denominator > 0) return random % entry.denominator < entry.numerator
      // An integer where a fraction is expected counts per hundred (runtime_impl.cc, featureEnabled).
      if (Number.isInteger(entry.number) && entry.number >= 0) return random % 100 < entry.number
    }
    return random % denominator < numerator
  }
}

const DENOMINATORS: Readonly<Record<string, number>> = {
  HUNDRED: 100,
  TEN_THOUSAND: 10_000,
  MILLION: 1_000_000,
  '0': 100,
  '1': 10_000,
  '2': 1_000_000,
}

function parseEntry(text: string): Entry {
  let numerator = 0
  let denominator = 0
  if (text.startsWith('{')) {
    try {
      const value = JSON.parse(text) as { numerator?: number; denominator?: string | number }
      numerator = value.numerator ?? 0
      denominator = DENOMINATORS[String(value.denominator ?? 'HUNDRED')] ?? 0
    } catch {
      denominator = 0
    }
  }
  const trimmed = text.trim()
  const lower = trimmed.toLowerCase()
  return {
    text,
    number: trimmed === '' ? Number.NaN : Number(trimmed),
    boolean: lower === 'true' ? true : lower === 'false' ? false : undefined,
    numerator,
    denominator,
  }
}

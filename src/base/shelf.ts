import { ListPacker, type PackedList } from './packed-values.ts'

/** Shorter lists are not worth it. */
export const MIN_LENGTH = 256

const shelved = new WeakMap<object, Map<string, PackedList<object>>>()

/**
 * Puts the list under `key` away as bytes, a tenth of its objects' size: of thousands of configured things only dumps ever read the
 * messages again. Whoever reads the property gets the list, decoded anew each time. One step is one element; the outcome false says
 * that the list is too short, or there is none.
 */
export function* shelve(owner: object, key: string): Generator<void, boolean> {
  if (packedListOf(owner, key) !== null) return false
  const values = (owner as Record<string, unknown>)[key]
  if (!Array.isArray(values) || values.length < MIN_LENGTH) return false
  const packer = new ListPacker<object>()
  for (const value of values) {
    packer.add(value)
    yield
  }
  putAway(owner, key, packer.finish())
  return true
}

/** As `shelve`, for a list that has been packed already. */
export function putAway(owner: object, key: string, list: PackedList<object>): void {
  const lists = shelved.get(owner) ?? new Map<string, PackedList<object>>()
  shelved.set(owner, lists.set(key, list))
  Object.defineProperty(owner, key, { get: () => [...list], enumerable: true, configurable: true })
}

/** What was put away of `owner` by its keys, to be read element by element; null: nothing. */
export function shelfOf(owner: object): ReadonlyMap<string, PackedList<object>> | null {
  return shelved.get(owner) ?? null
}

export function packedListOf<T extends object>(owner: object, key: string): PackedList<T> | null {
  return (shelved.get(owner)?.get(key) as PackedList<T> | undefined) ?? null
}

/** The list under `key`, one element at a time wherever it is; an absent one is empty. */
export function elementsOf<T extends object>(owner: object, key: string): Iterable<T> & { readonly length: number } {
  return packedListOf<T>(owner, key) ?? (owner as Record<string, readonly T[] | undefined>)[key] ?? []
}

/** One element, wherever the list is. */
export function elementOf<T extends object>(owner: object, key: string, index: number): T {
  return packedListOf<T>(owner, key)?.get(index) ?? (owner as Record<string, T[]>)[key]![index]!
}

import { type PackedList, ValueReader, ValueWriter } from '../base/packed-values.ts'

/** Shorter lists are not worth it. */
const MIN_LENGTH = 256

const shelved = new WeakMap<object, Map<string, PackedList<object>>>()

/**
 * Puts the list under `key` away as bytes, a tenth of its objects' size: of thousands of configured things only dumps ever read the
 * messages again. Whoever reads the property gets the list, decoded anew each time. One step is one element; the outcome false says
 * that the list is too short, or there is none.
 */
export function* shelve(owner: object, key: string): Generator<void, boolean> {
  const values = (owner as Record<string, unknown>)[key]
  if (!Array.isArray(values) || values.length < MIN_LENGTH || shelved.get(owner)?.has(key) === true) return false
  const writer = new ValueWriter()
  const slots: number[] = []
  for (const value of values) {
    slots.push(writer.identify(value))
    yield
  }
  const list = new ValueReader(writer.packList(slots)).root() as PackedList<object>
  const keys = shelved.get(owner) ?? new Map<string, PackedList<object>>()
  shelved.set(owner, keys.set(key, list))
  const get = (): object[] => Array.from({ length: list.length }, (_, i) => list.get(i))
  Object.defineProperty(owner, key, { get, enumerable: true, configurable: true })
  return true
}

/** One element, wherever the list is. */
export function elementOf<T extends object>(owner: object, key: string, index: number): T {
  const list = shelved.get(owner)?.get(key)
  return (list === undefined ? (owner as Record<string, T[]>)[key]![index] : list.get(index)) as T
}

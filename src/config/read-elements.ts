import type { PackedList } from '../base/packed-values.ts'
import type { FieldType } from './descriptors.ts'

/** The text cannot be read in parts: the reader of whole documents is to decide. */
export class NotPlain extends Error {}

/** Stands for a list whose elements were read already. Enumerable it has nothing: whoever does not know it reads an empty object. */
export class ReadElements {
  readonly #onTaken: () => void
  readonly #typeName: string
  readonly #list: PackedList<object>
  readonly #warnings: readonly string[]

  constructor(onTaken: () => void, typeName: string, list: PackedList<object>, warnings: readonly string[]) {
    this.#onTaken = onTaken
    this.#typeName = typeName
    this.#list = list
    this.#warnings = warnings
  }

  /** The list, for a field that is one of these messages. Throws `NotPlain` when the field is another. */
  take(field: FieldType): PackedList<object> {
    // Rules of the list itself would have to see its elements.
    if (!field.repeated || field.typeName !== this.#typeName || field.rules !== null) throw new NotPlain()
    this.#onTaken()
    validated.set(this.#list, this.#warnings)
    return this.#list
  }
}

const validated = new WeakMap<PackedList<object>, readonly string[]>()

/** Lists whose elements have been validated: what the validation warned of. */
export function warningsOf(list: PackedList<object>): readonly string[] {
  return validated.get(list) ?? []
}

import { FieldPath } from './field-path.ts'

export type TrailKind = 'field' | 'index' | 'key' | 'any'

/** Where the JSON reader stands. A stack of steps; a FieldPath or a text is made of it only for an error. */
export class JsonTrail {
  /** the type that errors are told from: the root, or the inner type of a TypedStruct */
  rootType: string
  /** steps below it belong to the message around a TypedStruct, which Envoy reads apart */
  rootDepth = 0
  /** name of the entry message of the innermost map; protobuf's errors name it instead of the value's type */
  entryType = ''
  readonly #root: FieldPath
  readonly #above: number
  readonly #kinds: TrailKind[] = []
  readonly #steps: (string | number)[] = []
  readonly #positions: number[] = []

  /** @param above how deep the value that is read stands in its document, at most */
  constructor(rootType: string, root: FieldPath, above: number) {
    this.rootType = rootType
    this.#root = root
    this.#above = above
  }

  /** In the document. */
  get nesting(): number {
    return this.#above + this.#steps.length
  }

  get depth(): number {
    return this.#steps.length
  }

  /** @param position of a key in its map */
  enter(kind: TrailKind, step: string | number, position: number): void {
    this.#kinds.push(kind)
    this.#steps.push(step)
    this.#positions.push(position)
  }

  leave(): void {
    this.#kinds.pop()
    this.#steps.pop()
    this.#positions.pop()
  }

  path(): FieldPath {
    let at = this.#root
    for (let i = 0; i < this.#steps.length; i++)
      at = new FieldPath(at, this.#steps[i]!, this.#kinds[i]!, this.#positions[i]!)
    return at
  }

  /** ` @ a.b[0]: message x.y.Z` in protobuf's manner: map entries by position and by the name of the entry message. */
  where(kind: string, end = this.#steps.length): string {
    let out = ''
    for (let i = this.rootDepth; i < end; i++) {
      const step = this.#kinds[i] === 'key' ? this.#positions[i] : this.#steps[i]
      if (this.#kinds[i] === 'index' || this.#kinds[i] === 'key') out += `[${step}]`
      else out += (out === '' ? '' : '.') + (this.#kinds[i] === 'any' ? '<any>' : step)
    }
    if (out === '') return ''
    return ` @ ${out}: ${this.#kinds[end - 1] === 'key' ? `message ${this.entryType}` : kind}`
  }
}

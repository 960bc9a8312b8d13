import { ValueWriter } from '../base/packed-values.ts'

/** Makes equal parts of immutable configurations one object: of ten thousand clusters most say the same in most places. */
export class PartSharer {
  /** Has met every part: packs what is made of them without looking into them again. */
  readonly writer = new ValueWriter()
  readonly #parts = new Map<number, object>()

  /** Everything below `owner`; itself it stays who it is. */
  share(owner: object): void {
    for (const [key, value] of Object.entries(owner) as [string, unknown][]) {
      if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) continue
      const id = this.writer.identify(value)
      const known = this.#parts.get(id)
      if (known === undefined) {
        this.#parts.set(id, value)
        this.share(value)
        this.writer.remember(value, id)
      } else if (known !== value) {
        ;(owner as Record<string, unknown>)[key] = known
      }
    }
  }
}

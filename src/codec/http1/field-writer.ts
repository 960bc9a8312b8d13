import { flat } from '../../base/flat.ts'

/** Bounded: a connection that waits must not hold much. */
const MAX_FIELDS = 32
const MAX_BYTES = 2048
/** Heads after a change before the kept beginning grows again: many senders may share the connection. */
const REST = 16

/**
 * The field lines of the heads that one connection sends. Their beginning is mostly what it was last time: of those fields the
 * text is kept, and comparing pointers replaces putting four strings together for each. What changes (dates, request ids) is left out
 * when it has changed and taken in again when it has not.
 */
export class FieldWriter {
  readonly #nameOf: (name: string) => string
  readonly #names: string[] = []
  readonly #values: string[] = []
  #text = ''
  /** The field behind the kept ones, when it was written last. */
  #nextName = ''
  #nextValue = ''
  #rest = 0

  /** `nameOf`: how a name is spelled on the wire. */
  constructor(nameOf: (name: string) => string) {
    this.#nameOf = nameOf
  }

  /** `list`: names and values in turn. */
  write(list: readonly string[]): string {
    const names = this.#names
    const values = this.#values
    const kept = names.length
    let at = 0
    while (at < kept && at * 2 < list.length && names[at] === list[at * 2] && values[at] === list[at * 2 + 1]) at++
    if (at < kept) this.#shrink(at)
    else if (this.#rest > 0) this.#rest--
    else if (at * 2 < list.length && list[at * 2] === this.#nextName && list[at * 2 + 1] === this.#nextValue) {
      if (at < MAX_FIELDS && this.#text.length < MAX_BYTES) {
        this.#text = flat(this.#text + this.#line(this.#nextName, this.#nextValue))
        names.push(this.#nextName)
        values.push(this.#nextValue)
        at++
      }
    }
    this.#nextName = at * 2 < list.length ? list[at * 2]! : ''
    this.#nextValue = at * 2 < list.length ? list[at * 2 + 1]! : ''
    let text = this.#text
    for (let i = at * 2; i < list.length; i += 2) text += this.#line(list[i]!, list[i + 1]!)
    return text
  }

  #line(name: string, value: string): string {
    return `${this.#nameOf(name)}: ${value}\r\n`
  }

  #shrink(to: number): void {
    this.#rest = REST
    const names = this.#names
    const values = this.#values
    while (names.length > to) {
      names.pop()
      values.pop()
    }
    let text = ''
    for (let i = 0; i < to; i++) text += this.#line(names[i]!, values[i]!)
    this.#text = flat(text)
  }
}

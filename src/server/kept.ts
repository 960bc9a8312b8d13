import { elementOf, packedListOf } from '../base/shelf.ts'
import { decodeMessage } from '../config/binary.ts'

/** A resource as it was configured, for /config_dump. */
export interface Kept {
  /** Wall clock, ms since the epoch. */
  readonly updated: number
  /** The message; may be decoded on demand, so ask once per dump. */
  message(): object
  /** False: there is certainly no field of this name anywhere in the message. */
  mayHave(name: string): boolean
}

/** A static resource: the bootstrap holds the message anyway. */
export function keptMessage(message: object, updated = Date.now()): Kept {
  return { updated, message: () => message, mayHave: () => true }
}

/** One of many static resources, wherever the list of them is kept. */
export function keptElement(owner: object, key: string, index: number, updated = Date.now()): Kept {
  return new KeptElement(owner, key, index, updated)
}

/** A dynamic resource: its bytes are a tenth of the decoded message, and dumps are rare. */
export function keptBytes(typeName: string, bytes: Uint8Array, updated = Date.now()): Kept {
  return { updated, message: () => decodeMessage(typeName, bytes).message, mayHave: () => true }
}

/** There may be ten thousand of them. */
class KeptElement implements Kept {
  readonly updated: number
  readonly #owner: object
  readonly #key: string
  readonly #index: number

  constructor(owner: object, key: string, index: number, updated: number) {
    this.updated = updated
    this.#owner = owner
    this.#key = key
    this.#index = index
  }

  message(): object {
    return elementOf(this.#owner, this.#key, this.#index)
  }

  mayHave(name: string): boolean {
    return packedListOf(this.#owner, this.#key)?.names?.has(name) !== false
  }
}

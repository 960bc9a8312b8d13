import { decodeMessage } from '../config/binary.ts'
import { elementOf } from './shelf.ts'

/** A resource as it was configured, for /config_dump. */
export interface Kept {
  /** Wall clock, ms since the epoch. */
  readonly updated: number
  /** The message; may be decoded on demand, so ask once per dump. */
  message(): object
}

/** A static resource: the bootstrap holds the message anyway. */
export function keptMessage(message: object, updated = Date.now()): Kept {
  return { updated, message: () => message }
}

/** One of many static resources, wherever the list of them is kept. */
export function keptElement(owner: object, key: string, index: number, updated = Date.now()): Kept {
  return { updated, message: () => elementOf(owner, key, index) }
}

/** A dynamic resource: its bytes are a tenth of the decoded message, and dumps are rare. */
export function keptBytes(typeName: string, bytes: Uint8Array, updated = Date.now()): Kept {
  return { updated, message: () => decodeMessage(typeName, bytes).message }
}

import { WireError, WireReader } from './wire-reader.ts'

const NOTHING = new WireReader(new Uint8Array(0))

/**
 * Calls `each` with every field: its content when it is length-delimited, its number (as an int32) when it is a varint.
 * @throws WireError
 */
export function eachField(r: WireReader, each: (field: number, content: WireReader, number: number) => void): void {
  while (r.at < r.end) {
    const tag = r.uint32()
    const type = tag & 7
    if (type === 2) {
      const end = r.delimited()
      each(tag >>> 3, new WireReader(r.bytes, r.at, end), 0)
      r.at = end
    } else if (type === 0) each(tag >>> 3, NOTHING, Number(BigInt.asIntN(32, r.varint())))
    else r.skip(type)
  }
  if (r.at !== r.end) throw new WireError('truncated field')
}

/** The bytes of a length-delimited field, not copied. */
export function contentOf(r: WireReader): Uint8Array {
  return r.bytes.subarray(r.at, r.end)
}

/** The same as latin1. */
export function textOf(r: WireReader): string {
  return bufferOf(r).toString('latin1')
}

export function utf8Of(r: WireReader): string {
  return bufferOf(r).toString('utf8')
}

function bufferOf(r: WireReader): Buffer {
  return Buffer.from(r.bytes.buffer, r.bytes.byteOffset + r.at, r.end - r.at)
}

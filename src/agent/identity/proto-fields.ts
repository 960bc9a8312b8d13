/**
 * Writing of protobuf fields by number: a dozen fields of messages that never change. The descriptors of the data plane
 * would cost the agent more memory than all the rest of it.
 */
export function bytesField(number: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

/** int64 and its like, from 0 to 2^53. */
export function numberField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)])
}

export function message(...fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(fields)
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  while (left > 0x7f) {
    bytes.push((left % 128) | 0x80)
    left = Math.floor(left / 128)
  }
  bytes.push(left)
  return Buffer.from(bytes)
}

/** Nine octets (RFC 9113 §4.1). */
export function frameHeader(type: number, flags: number, stream: number, length: number): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return head
}

export function windowUpdate(stream: number, credit: number): Buffer {
  const bytes = Buffer.concat([frameHeader(8, 0, stream, 4), Buffer.alloc(4)])
  bytes.writeUInt32BE(credit, 9)
  return bytes
}

/** Bytes that a peer's frame takes in all, or -1 while its head is incomplete. */
export function frameLength(bytes: Buffer, at: number, end: number): number {
  return end - at < 9 ? -1 : 9 + bytes.readUIntBE(at, 3)
}

/** Counts the messages of one direction of a gRPC stream as their length-prefixed frames begin (Grpc::FrameInspector). */
export class GrpcFrameCounter {
  messages = 0
  /** Bytes of the prefix that are still missing; 0 = inside a message. */
  #prefix = 5
  #length = 0

  /** @returns how many messages began in `chunk` */
  inspect(chunk: Uint8Array): number {
    const before = this.messages
    for (let at = 0; at < chunk.length; ) {
      if (this.#prefix === 0) {
        const step = Math.min(this.#length, chunk.length - at)
        at += step
        this.#length -= step
        if (this.#length === 0) this.#prefix = 5
        continue
      }
      const byte = chunk[at++]!
      // The first byte says whether the message is compressed, the other four are its length.
      if (this.#prefix === 5) {
        this.messages++
        this.#length = 0
      } else this.#length = this.#length * 256 + byte
      if (--this.#prefix === 0 && this.#length === 0) this.#prefix = 5
    }
    return this.messages - before
  }
}

import { constants } from 'node:os'
import { spendChunk } from './chunk-pool.ts'
import { addressOf, failure, system } from './system-calls.ts'

const { EAGAIN, EINTR } = constants.errno

/** Pieces of one writev(2). */
const MOST = 64
/** struct iovec: where, and how many bytes. */
const vectors = new BigUint64Array(2 * MOST)
const vectorsAddress = addressOf(new Uint8Array(vectors.buffer))

/** Bytes that a socket has not taken yet. */
export class PendingOutput {
  length = 0
  #pieces: Uint8Array[] = []
  /** Those before it were sent. */
  #first = 0

  /** The memory is given away: see chunk-pool.ts. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#pieces.push(bytes)
    this.length += bytes.length
  }

  /** `fd` as for system calls. Writes until nothing is left or the system takes no more. @returns 0, or a negative errno: the connection is broken */
  writeTo(fd: bigint): number {
    while (this.length > 0) {
      const count = Math.min(this.#pieces.length - this.#first, MOST)
      let total = 0
      for (let i = 0; i < count; i++) {
        const piece = this.#pieces[this.#first + i]!
        vectors[2 * i] = addressOf(piece)
        vectors[2 * i + 1] = BigInt(piece.length)
        total += piece.length
      }
      const sent = system.writev(fd, vectorsAddress, BigInt(count))
      if (sent >= 0) {
        this.sent(sent)
        if (sent < total) return 0
      } else {
        const error = failure()
        if (error === -EAGAIN) return 0
        if (error !== -EINTR) return error
      }
    }
    return 0
  }

  /** The system has taken `count` bytes. */
  sent(count: number): void {
    this.length -= count
    const pieces = this.#pieces
    while (count > 0) {
      const piece = pieces[this.#first]!
      const taken = Math.min(piece.length, count)
      spendChunk(piece, taken)
      count -= taken
      if (taken === piece.length) this.#first++
      else pieces[this.#first] = piece.subarray(taken)
    }
    if (this.length === 0) this.clear()
    else if (this.#first >= MOST) {
      pieces.splice(0, this.#first)
      this.#first = 0
    }
  }

  clear(): void {
    this.length = 0
    this.#pieces = []
    this.#first = 0
  }
}

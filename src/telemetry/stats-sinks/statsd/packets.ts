import { type DatagramSocket, MAX_DATAGRAM } from '../../../io/datagram-socket.ts'

const NEWLINE = 0x0a

/** Puts lines into datagrams: one each, or as many as `maxBytes` holds (Envoy: UdpStatsdSink::writeBuffer). */
export class StatsdPackets {
  readonly #socket: DatagramSocket | null
  readonly #maxBytes: number
  /** Room for a full datagram and the line that does not fit any more. */
  readonly #buffer = Buffer.allocUnsafe(2 * MAX_DATAGRAM + 2)
  #at = 0

  /** `maxBytes` 0: every line is a datagram. */
  constructor(socket: DatagramSocket | null, maxBytes: number) {
    this.#socket = socket
    this.#maxBytes = Math.min(maxBytes, MAX_DATAGRAM)
  }

  add(line: string): void {
    const buffer = this.#buffer
    const from = this.#at === 0 ? 0 : this.#at + 1
    // What is longer than any datagram is cut here, and the kernel refuses it.
    const size = buffer.write(line, from)
    if (size >= this.#maxBytes) {
      this.#socket?.send(from === 0 ? buffer : buffer.subarray(from), size)
      return
    }
    if (from + size > this.#maxBytes) {
      this.flush()
      buffer.copyWithin(0, from, from + size)
      this.#at = size
      return
    }
    if (from > 0) buffer[from - 1] = NEWLINE
    this.#at = from + size
  }

  flush(): void {
    if (this.#at === 0) return
    this.#socket?.send(this.#buffer, this.#at)
    this.#at = 0
  }
}

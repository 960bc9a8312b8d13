import type net from 'node:net'
import type { Address, UpstreamSource } from './connection.ts'

/** What carries the bytes of a connection: a socket, one end of a connection in the worker, or TLS over either. Everything is for one owner. */
export interface ByteStream {
  /** Bytes given to `write…` that the system has not taken yet. */
  readonly pendingBytes: number
  /** The peer has ended its side. */
  readonly ended: boolean
  /** Descriptor for getsockopt; -1 when it is closed. */
  readonly fd: number
  /** One byte a character. */
  writeText(latin1: string): void
  /** The memory is given away: see chunk-pool.ts. */
  writeBytes(bytes: Uint8Array): void
  /** Several pieces in one system call where that is possible; text is latin1. */
  writeAll(pieces: readonly (Uint8Array | string)[]): void
  /** Ends this side when everything was taken. */
  end(): void
  pause(): void
  resume(): void
  /** Closes when everything was taken. */
  destroySoon(): void
  /** Closes now; what is pending is dropped. */
  destroy(): void
  /** Closes with RST. */
  reset(): void
}

/** A stream that TLS can be put over. */
export interface PlainStream extends ByteStream {
  /** `source` null: any. Failures are reported later, never from within. */
  connect(address: Address, source: Address | null, original: UpstreamSource | null): void
  localAddress(): Address
  /** Gives it to a stream of Node's; the owner hears of it no more. */
  release(): net.Socket
}

/** What a stream tells its connection. */
export interface StreamOwner {
  /** It has been told to pause: `onWritten` matters. */
  readonly awaitsDrain: boolean
  /** Bytes that may wait on their way through it before it pauses its source. */
  readonly bufferLimit: number
  onSocketConnected(): void
  /** TLS: the handshake is through. */
  onSecure(): void
  /** False stops reading. */
  onBytes(chunk: Uint8Array): boolean
  onEnd(): void
  /** Less is pending than was, most often nothing. Never called from within a write: the owner may write again. */
  onWritten(): void
  /** `onGone` follows. */
  onError(error: NodeJS.ErrnoException): void
  /** Closed; the last call. */
  onGone(): void
}

/** For a stream whose owner wants to hear of it no more. */
export const NOBODY: StreamOwner = {
  awaitsDrain: false,
  bufferLimit: 0,
  onSocketConnected() {},
  onSecure() {},
  onBytes: () => false,
  onEnd() {},
  onWritten() {},
  onError() {},
  onGone() {},
}

import type { ExtensionFactory } from '../../config/registry.ts'
import type { SocketConnection } from '../../io/socket-connection.ts'

export const ListenerVerdict = {
  /** Next filter. */
  Continue: 0,
  /** Asks again when more bytes have come. */
  NeedMore: 1,
  /** Closes the connection: `downstream_listener_filter_error`. */
  Reject: 2,
} as const
export type ListenerVerdict = (typeof ListenerVerdict)[keyof typeof ListenerVerdict]

/** What a listener filter sees of a connection that has no filter chain yet. */
export interface PendingConnection {
  readonly connection: SocketConnection
  /** All bytes received so far. They are given on untouched, but for what `consume` takes off. */
  readonly bytes: Uint8Array
  /** Takes the first `length` bytes off the stream (PROXY headers). */
  consume(length: number): void
}

/** One object serves all connections of a listener: what it needs to know it reads from the bytes. */
export interface ListenerFilter {
  /** Most bytes it may ask for; 0 = it never reads. */
  readonly maxBytes: number
  /** Called when it is its turn, and again with every more bytes after NeedMore. */
  inspect(pending: PendingConnection): ListenerVerdict
}

export type ListenerFilterExtension<P extends object, C> = ExtensionFactory<P, C, never, ListenerFilter>

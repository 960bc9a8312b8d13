import type { CloseReason, Connection } from '../io/connection.ts'

/**
 * Continue with the next filter, or stop: the filter took the bytes or waits. `UntilSecured`, by `onConnection` of an encrypted
 * connection only: the filters behind hear of the connection after `onSecured`.
 */
export const NetVerdict = { Continue: 0, Stop: 1, UntilSecured: 2 } as const
export type NetVerdict = (typeof NetVerdict)[keyof typeof NetVerdict]

/** A network filter instance: one per connection (made by its factory's `create().newInstance`). */
export interface NetworkFilter {
  /** Accepted. With TLS the handshake is still to come: what is written waits for it, and `c.tls` is null. */
  onConnection(c: Connection): NetVerdict
  /** The TLS handshake is through, for a filter that answered `UntilSecured`. */
  onSecured?(c: Connection): void
  onData(c: Connection, d: Uint8Array, end: boolean): NetVerdict
  onWritable?(c: Connection): void
  /** tcp_proxy has its upstream, tunnel included: `StreamInfo` names it, and nothing of it has been written to `c` yet. */
  onUpstreamConnected?(c: Connection): void
  onClose(c: Connection, why: CloseReason): void
  /** The last call, when the listener has logged the connection: in Envoy the filter is taken apart then. */
  onGone?(): void
}

/** What `create()` of a network filter factory gives: makes an instance per connection. */
export interface NetworkFilterFactory {
  newInstance(c: Connection, chain: ReadContinuation): NetworkFilter
}

/** The chain of a connection, for a filter that has stopped what was read. */
export interface ReadContinuation {
  /** Tells the filters behind `filter` of the connection and gives them what it has kept, if anything (Envoy: continueReading). */
  continueReading(filter: NetworkFilter, c: Connection, d: Uint8Array, end: boolean): void
  /** Tells the filters of the connection that it has an upstream. */
  upstreamConnected(c: Connection): void
}

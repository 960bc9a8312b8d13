import { ipAddress } from '../../../src/io/address.ts'
import { CloseHow, CloseReason, type Connection, type ConnectionHandler } from '../../../src/io/connection.ts'
import { connect } from '../../../src/io/socket-connection.ts'
import type { SocketLoop } from '../../../src/io/socket-loop.ts'
import {
  type Cluster,
  type Host,
  PoolFailure,
  type PoolHandle,
  type TcpPoolUser,
} from '../../../src/upstream/upstream.ts'
import type { FakeStats } from '../../unit/network/fake-services.ts'

/** A cluster of one host on the loopback interface, without limits. `port` 0 = no healthy host. */
export function loopbackCluster(name: string, port: number, loop: SocketLoop, stats: FakeStats, timeout = 0): Cluster {
  const host = { address: ipAddress('127.0.0.1', port), hostname: '', metadata: null } as unknown as Host
  const cluster = {
    name,
    observabilityName: name,
    metadata: null,
    counters: {
      upstreamCxConnectAttemptsExceeded: stats.counter(`cluster.${name}.upstream_cx_connect_attempts_exceeded`),
    },
    limits: { canTake: () => true },
    pick: () => (port === 0 ? null : host),
    reportOutcome: () => {},
    tcpConnect: (_: Host, user: TcpPoolUser) => new Dialer(host, user, loop, timeout),
  }
  return cluster as unknown as Cluster
}

class Dialer implements ConnectionHandler, PoolHandle {
  readonly #host: Host
  readonly #user: TcpPoolUser
  readonly #connection: Connection

  constructor(host: Host, user: TcpPoolUser, loop: SocketLoop, timeout: number) {
    this.#host = host
    this.#user = user
    const options = {
      connectTimeout: timeout,
      source: null,
      original: null,
      preamble: null,
      watches: null,
      tls: null,
      bufferLimit: 64 * 1024,
    }
    this.#connection = connect(loop, host.address, options, this)
  }

  cancel(): void {
    this.#connection.close(CloseHow.NoFlush)
  }

  onConnected(c: Connection): void {
    this.#user.onTcpReady(c, this.#host)
  }

  onData(): void {}

  onClose(c: Connection, why: CloseReason): void {
    if (why === CloseReason.Local) return
    const failure = why === CloseReason.ConnectTimeout ? PoolFailure.Timeout : PoolFailure.RemoteConnectionFailure
    this.#user.onTcpFailure(failure, this.#host, c.transportFailure.replaceAll(' ', '_'))
  }
}

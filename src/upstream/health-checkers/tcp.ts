import { CloseHow, CloseReason, type Connection, type ConnectionHandler } from '../../io/connection.ts'
import type { HealthCheckerConfig } from '../cluster-config.ts'
import type { HealthChecker, Probe } from './checker.ts'
import { PayloadMatcher } from './payload.ts'
import type { HealthCheckSession } from './session.ts'

type Config = Extract<HealthCheckerConfig, { kind: 'tcp' }>

/** tcp_health_check: connects, sends, waits for bytes; with nothing to wait for a connection is enough (TcpHealthCheckerImpl). */
export class TcpProbe implements Probe, ConnectionHandler {
  private readonly checker: HealthChecker
  private readonly session: HealthCheckSession
  private readonly config: Config
  private readonly matcher: PayloadMatcher
  private connection: Connection | null = null

  constructor(checker: HealthChecker, session: HealthCheckSession, config: Config) {
    this.checker = checker
    this.session = session
    this.config = config
    this.matcher = new PayloadMatcher(config.receive, 0)
  }

  begin(): void {
    this.matcher.reset()
    if (this.connection !== null) {
      this.send(this.connection)
      return
    }
    const host = this.session.host
    this.connection = this.checker.services.connector.connect(
      this.checker.address(host),
      this.checker.connectOptions(host, []),
      this,
    )
  }

  abandon(): void {
    this.close()
  }

  close(): void {
    const c = this.connection
    this.connection = null
    if (c !== null && !c.closed) c.close(CloseHow.NoFlush, CloseReason.Local)
  }

  onConnected(c: Connection): void {
    if (c !== this.connection) return
    this.send(c)
    if (this.config.receive.length > 0) return
    this.close()
    this.session.passed(false)
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): void {
    if (c !== this.connection) return
    this.matcher.add(chunk)
    if (chunk.length > 0 && this.matcher.matched) {
      this.matcher.reset()
      if (!this.checker.config.reuseConnection) this.close()
      this.session.passed(false)
    }
    if (end && c === this.connection) this.lost()
  }

  onClose(c: Connection): void {
    if (c === this.connection) this.lost()
  }

  /** Any end we did not ask for counts, also between checks. */
  private lost(): void {
    this.close()
    this.session.failed('NETWORK', false)
  }

  private send(c: Connection): void {
    if (this.config.send !== null) c.write(Buffer.from(this.config.send))
  }
}

import { type CodecStream, ResetReason } from '../../codec/codec.ts'
import { HeaderBlock } from '../../codec/header-block.ts'
import { CloseHow, CloseReason, type Connection, type ConnectionHandler, type Flow } from '../../io/connection.ts'
import type { StreamInfo } from '../../telemetry/stream-info.ts'
import type { Cluster, Host, PoolFailure, PoolHandle, TcpPoolUser } from '../../upstream/upstream.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/**
 * A CONNECT that ends here (`connect_config`): its body goes to the upstream as raw bytes and what comes back is the body of
 * a 200 (Envoy: TcpConnPool, TcpUpstream). Calls the attempt now or later.
 */
export function connectTcp(
  cluster: Cluster,
  host: Host,
  attempt: UpstreamRequest,
  info: StreamInfo,
  downstream: Connection | null,
): void {
  const upstream = new TcpUpstream(attempt)
  const handle = cluster.tcpConnect(host, upstream, info, downstream)
  if (!attempt.done && attempt.stream === null) {
    upstream.pending = handle
    attempt.handle = upstream
  }
}

class TcpUpstream implements CodecStream, TcpPoolUser, ConnectionHandler, PoolHandle {
  user: unknown = null
  readonly id = 0
  closeAfter = false
  headerBytesSent = 0
  headerBytesReceived = 0
  wireBytesSent = 0
  wireBytesReceived = 0
  pending: PoolHandle | null = null
  private readonly attempt: UpstreamRequest
  private connection: Connection | null = null
  private ended = false

  constructor(attempt: UpstreamRequest) {
    this.attempt = attempt
  }

  cancel(): void {
    this.pending?.cancel()
    this.pending = null
  }

  onTcpReady(connection: Connection, host: Host): void {
    this.pending = null
    this.connection = connection
    connection.handler = this
    this.attempt.onPoolReady(this, host, connection, '')
  }

  onTcpFailure(failure: PoolFailure, host: Host, transportFailure: string): void {
    this.pending = null
    this.attempt.onPoolFailure(failure, host, transportFailure)
  }

  /** There is no head to send: being connected is the answer. */
  encodeHeaders(_h: HeaderBlock, end: boolean): void {
    const ok = new HeaderBlock()
    ok.status = 200
    if (end) this.connection?.end()
    this.attempt.onResponseHeaders(ok, false)
  }

  encode1xx(_h: HeaderBlock): void {
    // Requests have no interim heads.
  }

  encodeData(chunk: Uint8Array, end: boolean): Flow {
    const connection = this.connection
    if (connection === null) return 0
    this.wireBytesSent += chunk.length
    const flow = chunk.length === 0 ? 0 : connection.write(chunk)
    if (end) connection.end()
    return flow
  }

  encodeTrailers(_t: HeaderBlock): void {
    this.connection?.end()
  }

  reset(_reason: ResetReason): void {
    const connection = this.connection
    this.connection = null
    this.ended = true
    connection?.close(CloseHow.Flush, CloseReason.Local)
  }

  holdReading(bit: number, hold: boolean): void {
    this.connection?.holdReading(bit, hold)
  }

  get bufferedBytes(): number {
    return this.connection === null ? 0 : this.connection.bufferedBytes
  }

  onData(_c: Connection, chunk: Uint8Array, end: boolean): void {
    if (this.ended) return
    this.wireBytesReceived += chunk.length
    if (end) this.ended = true
    this.attempt.onResponseData(chunk, end)
  }

  onWritable(): void {
    this.attempt.onUpstreamWritable()
  }

  onClose(_c: Connection, _why: CloseReason): void {
    this.connection = null
    if (this.ended) return
    this.ended = true
    this.attempt.onUpstreamReset(ResetReason.ConnectionTermination)
  }
}

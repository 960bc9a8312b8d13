import {
  type Address,
  type CloseHow,
  type CloseReason,
  type Connection,
  type ConnectionHandler,
  Flow,
  type TlsInfo,
} from '../../../../src/io/connection.ts'

const nowhere: Address = { ip: '127.0.0.1', port: 1, text: '127.0.0.1:1' }

/** A connection that keeps what was written. */
export class FakeConnection implements Connection {
  readonly id = 1
  readonly directRemote = nowhere
  readonly directLocal = nowhere
  remote = nowhere
  local = nowhere
  localRestored = false
  requestedServerName = ''
  applicationProtocols: readonly string[] = []
  transportProtocol = ''
  streamInfo: Connection['streamInfo'] = null
  prelude: Connection['prelude'] = null
  readonly encrypted = false
  readonly tls: TlsInfo | null = null
  readonly transportFailure = ''
  readonly inspectorFailure = ''
  handler: ConnectionHandler = { onData() {}, onClose() {} }
  bufferedBytes = 0
  closed = false
  closedHow: CloseHow | -1 = -1
  readHolds = 0
  bytesReceived = 0
  bytesSent = 0
  readonly startTime = 0
  readonly connectEnd = null
  written = ''

  write(data: Uint8Array | string): Flow {
    this.written += typeof data === 'string' ? data : Buffer.from(data).toString('latin1')
    return Flow.Continue
  }
  setWatermarks(): void {}
  end(): void {}
  close(how: CloseHow, _why?: CloseReason): void {
    this.closed = true
    this.closedHow = how
  }
  holdReading(bit: number, hold: boolean): void {
    this.readHolds = hold ? this.readHolds | bit : this.readHolds & ~bit
  }
  setDelayedCloseTimeout(): void {}
  setKeepAlive(): void {}
}

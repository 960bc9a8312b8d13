import type { Socket } from 'node:net'
import type { TimerNode, Timers } from '../../src/base/timer.ts'
import type { CodecStream, ResetReason, StreamDecoder } from '../../src/codec/codec.ts'
import { ResetReason as Reason } from '../../src/codec/codec.ts'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { Http2ClientCodec } from '../../src/codec/http2/client.ts'
import { defaultHttp2Options, type Http2Options } from '../../src/codec/http2/options.ts'
import { Http2ServerCodec } from '../../src/codec/http2/server.ts'
import { type Connection, Flow } from '../../src/io/connection.ts'

/** Real time by one setTimeout per armed node: enough for a test peer. */
class NodeTimers implements Timers {
  private readonly handles = new Map<TimerNode, NodeJS.Timeout>()

  arm(node: TimerNode, ms: number): void {
    this.cancel(node)
    const fire = (): void => {
      this.handles.delete(node)
      node.owner.onTimer(node.kind)
    }
    this.handles.set(node, setTimeout(fire, ms).unref())
  }

  suspend(node: TimerNode): void {
    this.cancel(node)
  }

  cancel(node: TimerNode): void {
    clearTimeout(this.handles.get(node))
    this.handles.delete(node)
  }

  now(): number {
    return performance.now()
  }
}

/** The part of Connection that the codec uses, on a plain socket. */
class SocketConnection {
  private readonly socket: Socket
  constructor(socket: Socket) {
    this.socket = socket
  }

  get bufferedBytes(): number {
    return this.socket.writableLength
  }

  write(data: Uint8Array | string): Flow {
    if (this.socket.destroyed) return Flow.Continue
    return this.socket.write(data) ? Flow.Continue : Flow.Pause
  }
}

/** Echoes the request body, or says `ok`; trailers come back too. */
class EchoDecoder implements StreamDecoder {
  private readonly socket: Socket
  constructor(socket: Socket) {
    this.socket = socket
  }

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    const head = new HeaderBlock()
    head.status = 200
    head.push('x-method', h.method)
    head.push('x-path', h.path)
    s.encodeHeaders(head, false)
    if (end) s.encodeData(Buffer.from('ok'), true)
  }

  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    const flow = s.encodeData(chunk, end)
    if (flow === Flow.Pause) s.holdReading(1, true)
    return flow
  }

  onTrailers(s: CodecStream, t: HeaderBlock): void {
    s.encodeTrailers(t)
  }

  onReset(): void {}

  onWritable(s: CodecStream): void {
    s.holdReading(1, false)
  }

  onConnectionError(): void {
    this.socket.end()
  }
}

export function serveHttp2(socket: Socket, options: Http2Options = defaultHttp2Options): Http2ServerCodec {
  const connection = new SocketConnection(socket) as unknown as Connection
  const codec = new Http2ServerCodec(connection, new EchoDecoder(socket), options, new NodeTimers())
  wire(socket, codec)
  return codec
}

export function connectHttp2(socket: Socket, decoder: StreamDecoder, options = defaultHttp2Options): Http2ClientCodec {
  const codec = new Http2ClientCodec(
    new SocketConnection(socket) as unknown as Connection,
    decoder,
    options,
    new NodeTimers(),
  )
  wire(socket, codec)
  return codec
}

function wire(socket: Socket, codec: Http2ServerCodec | Http2ClientCodec): void {
  const closed: ResetReason = Reason.ConnectionTermination
  socket.on('data', chunk => codec.dispatch(chunk as Buffer, false))
  socket.on('drain', () => codec.onConnectionWritable())
  socket.on('error', () => {})
  socket.on('close', () => codec.onConnectionClosed(closed))
}

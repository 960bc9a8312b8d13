import { createServer, type Server, type Socket } from 'node:net'
import { headerValue, MessageReader } from '../../bench/wire/http1-message.ts'
import { allocatePort } from '../harness/ports.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** An upstream that writes down every request it was sent, byte for byte, and answers each. */
export class RecordingUpstream {
  readonly port: number
  /** `METHOD path [host] "body"`, in order of completion. */
  readonly requests: string[] = []
  /** Bytes that formed no request. */
  readonly leftovers: string[] = []
  readonly connections: Socket[] = []
  /** What is sent for a request, by its path; '' sends nothing. */
  answer: (path: string) => string = () => OK
  private readonly server: Server

  private constructor(port: number) {
    this.port = port
    this.server = createServer(socket => this.serve(socket))
  }

  static async start(): Promise<RecordingUpstream> {
    const upstream = new RecordingUpstream(await allocatePort())
    await new Promise<void>(resolve => upstream.server.listen(upstream.port, '127.0.0.1', resolve))
    return upstream
  }

  stop(): Promise<void> {
    for (const socket of this.connections) socket.destroy()
    return new Promise(resolve => this.server.close(() => resolve()))
  }

  private serve(socket: Socket): void {
    this.connections.push(socket)
    socket.on('error', () => {})
    const reader = new MessageReader(() => 'request')
    let answered = 0
    socket.on('data', (bytes: Buffer) => {
      reader.push(bytes)
      for (; answered < reader.messages.length && reader.messages[answered]!.complete; answered++) {
        const message = reader.messages[answered]!
        const [method, path] = message.startLine.split(' ')
        const host = headerValue(message, 'host')
        const body = message.body.length === 0 ? '' : ` ${JSON.stringify(message.body.toString('latin1'))}`
        const trailers = message.trailers.length === 0 ? '' : ` +${JSON.stringify(message.trailers)}`
        this.requests.push(`${method} ${path}${host === 'x' ? '' : ` [${host}]`}${body}${trailers}`)
        const text = this.answer(path!)
        if (text !== '') socket.write(Buffer.from(text, 'latin1'))
      }
    })
    socket.on('close', () => {
      if (reader.leftover.length > 0) this.leftovers.push(reader.leftover.toString('latin1'))
    })
  }
}

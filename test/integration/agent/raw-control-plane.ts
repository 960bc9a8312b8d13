import {
  Client,
  type ClientDuplexStream,
  credentials,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from '@grpc/grpc-js'
import { DELTA, STATE_OF_THE_WORLD } from '../../../src/agent/xds-relay/protocol.ts'
import { asTheyAre, bytesMethod } from '../../harness/grpc-bytes.ts'

/** One stream as istiod sees it. */
export class PlaneStream {
  readonly #stream: ServerDuplexStream<Buffer, Buffer>
  readonly #received = new Queue<Buffer>()
  readonly gone: Promise<void>

  constructor(stream: ServerDuplexStream<Buffer, Buffer>) {
    this.#stream = stream
    stream.on('data', (bytes: Buffer) => this.#received.put(bytes))
    stream.on('error', () => {})
    this.gone = new Promise(resolve => stream.on('cancelled', () => resolve()))
  }

  /** The next request. */
  request(): Promise<Buffer> {
    return this.#received.take()
  }

  /** Requests that have come and were not taken. */
  get waiting(): number {
    return this.#received.size
  }

  send(bytes: Uint8Array): void {
    this.#stream.write(Buffer.from(bytes))
  }

  end(code: number, details: string): void {
    if (code === 0) this.#stream.end()
    else this.#stream.emit('error', { code, details })
  }
}

/** An istiod that does nothing by itself. */
export class RawControlPlane {
  readonly #server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 })
  readonly #streams = new Queue<PlaneStream>()

  constructor() {
    const accept = (stream: ServerDuplexStream<Buffer, Buffer>): void => this.#streams.put(new PlaneStream(stream))
    this.#server.addService(
      { delta: bytesMethod(DELTA.method, true, true), sotw: bytesMethod(STATE_OF_THE_WORLD.method, true, true) },
      { delta: accept, sotw: accept },
    )
  }

  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port)
        else reject(error)
      })
    })
  }

  stream(): Promise<PlaneStream> {
    return this.#streams.take()
  }

  close(): void {
    this.#server.forceShutdown()
  }
}

/** One stream as the proxy has it. */
export class ProxyStream {
  readonly #client: Client
  readonly #received = new Queue<Buffer>()
  readonly #call: ClientDuplexStream<Buffer, Buffer>
  readonly ended: Promise<{ code: number; details: string }>

  constructor(path: string, method: string) {
    this.#client = new Client(`unix:${path}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
    })
    const call = this.#client.makeBidiStreamRequest<Buffer, Buffer>(method, asTheyAre, asTheyAre)
    call.on('data', (bytes: Buffer) => this.#received.put(bytes))
    call.on('error', () => {})
    this.ended = new Promise(resolve => call.on('status', ({ code, details }) => resolve({ code, details })))
    this.#call = call
  }

  send(bytes: Uint8Array): void {
    this.#call.write(Buffer.from(bytes))
  }

  response(): Promise<Buffer> {
    return this.#received.take()
  }

  close(): void {
    this.#call.cancel()
    this.#client.close()
  }
}

class Queue<T> {
  readonly #items: T[] = []
  readonly #takers: ((item: T) => void)[] = []

  get size(): number {
    return this.#items.length
  }

  put(item: T): void {
    const taker = this.#takers.shift()
    if (taker === undefined) this.#items.push(item)
    else taker(item)
  }

  take(): Promise<T> {
    const item = this.#items.shift()
    return item === undefined ? new Promise(resolve => this.#takers.push(resolve)) : Promise.resolve(item)
  }
}

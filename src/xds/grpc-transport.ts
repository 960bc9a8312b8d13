import type * as Grpc from '@grpc/grpc-js'
import type { OpenStream, XdsStream, XdsStreamHandler } from './ads-stream.ts'
import type { GrpcTarget, GrpcTls } from './grpc-target.ts'

const UNAVAILABLE = 14

/** Streams of raw messages over grpc-js, which is loaded when the first stream is opened. */
export function grpcTransport(target: GrpcTarget, method: string): OpenStream {
  const clients = new Map<string, Grpc.Client>()
  let turn = 0
  return handler => {
    const stream = new GrpcXdsStream(handler)
    const address = target.addresses[turn++ % target.addresses.length]!
    void import('@grpc/grpc-js')
      .then(grpc => {
        let client = clients.get(address)
        if (client === undefined) {
          client = connect(grpc, target, address)
          clients.set(address, client)
        }
        stream.begin(grpc, client, target, method)
      })
      .catch((error: Error) => handler.onClosed(UNAVAILABLE, error.message))
    return stream
  }
}

function connect(grpc: typeof Grpc, target: GrpcTarget, address: string): Grpc.Client {
  const { tls } = target
  return new grpc.Client(address, credentials(grpc, tls), {
    // Resources of a mesh come in one message, and who sends them decides about everything here anyway.
    'grpc.max_receive_message_length': -1,
    // The stream has its own back-off; the channel's must not add minutes to it.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    ...(target.authority === '' ? {} : { 'grpc.default_authority': target.authority }),
    ...(target.keepaliveInterval === 0
      ? {}
      : { 'grpc.keepalive_time_ms': target.keepaliveInterval, 'grpc.keepalive_timeout_ms': target.keepaliveTimeout }),
    // Left to itself grpc-js takes the address for the SNI, which node:tls refuses for an IP.
    ...(tls === null
      ? {}
      : { 'grpc.ssl_target_name_override': tls.serverName === '' ? 'control-plane' : tls.serverName }),
  })
}

class GrpcXdsStream implements XdsStream {
  readonly #handler: XdsStreamHandler
  #call: Grpc.ClientDuplexStream<Uint8Array, Uint8Array> | null = null
  /** Messages sent before grpc-js was there. */
  #early: Uint8Array[] = []
  #over = false

  constructor(handler: XdsStreamHandler) {
    this.#handler = handler
  }

  begin(grpc: typeof Grpc, client: Grpc.Client, target: GrpcTarget, method: string): void {
    if (this.#over) return
    const metadata = new grpc.Metadata()
    for (const [name, value] of target.metadata) {
      metadata.add(name, name.endsWith('-bin') ? Buffer.from(value, 'base64') : value)
    }
    const call = client.makeBidiStreamRequest<Uint8Array, Uint8Array>(method, serialize, identity, metadata)
    this.#call = call
    call.on('data', (message: Uint8Array) => {
      if (!this.#over) this.#handler.onMessage(message)
    })
    // The status says the same.
    call.on('error', () => {})
    // The server has finished, we have not: without this the call would stay half open.
    call.on('end', () => call.end())
    // Comes once for every call, before or after `end`.
    call.on('status', (status: Grpc.StatusObject) => this.#end(status.code, status.details))
    for (const message of this.#early) call.write(message)
    this.#early = []
  }

  send(message: Uint8Array): void {
    if (this.#over) return
    if (this.#call === null) this.#early.push(message)
    else this.#call.write(message)
  }

  close(): void {
    this.#over = true
    this.#call?.cancel()
  }

  #end(status: number, message: string): void {
    if (this.#over) return
    this.#over = true
    this.#handler.onClosed(status, message)
  }
}

function credentials(grpc: typeof Grpc, tls: GrpcTls | null): Grpc.ChannelCredentials {
  if (tls === null) return grpc.credentials.createInsecure()
  // Without an SNI there is no name to check: the authority is the name of a cluster. The chain is verified all the same.
  const options = tls.serverName === '' ? { checkServerIdentity: () => undefined } : {}
  return grpc.credentials.createSsl(tls.ca, tls.key, tls.chain, options)
}

function serialize(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function identity(bytes: Buffer): Uint8Array {
  return bytes
}

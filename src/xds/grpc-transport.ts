import type * as Grpc from '@grpc/grpc-js'
import { GrpcStatus } from '../base/grpc-status.ts'
import type { OpenStream, XdsStream, XdsStreamHandler } from './ads-stream.ts'
import {
  ConnectionTraffic,
  type ControlPlaneTraffic,
  type HostTraffic,
  RequestTraffic,
} from './control-plane-traffic.ts'
import type { GrpcTarget, GrpcTls } from './grpc-target.ts'

/** Bytes before each message (gRPC over HTTP/2, Length-Prefixed-Message). */
const PREFIX = 5

/**
 * Streams of raw messages over grpc-js, which is loaded when the first stream is opened. Connections are kept for the next stream,
 * unless each is to have its own. `traffic`: null where no cluster counts it.
 */
export function grpcTransport(
  target: GrpcTarget,
  method: string,
  traffic: ControlPlaneTraffic | null = null,
): OpenStream {
  const clients = new Map<string, CountedClient>()
  let turn = 0
  return handler => {
    const address = target.addresses[turn++ % target.addresses.length]!
    const stream = new GrpcXdsStream(handler)
    void import('@grpc/grpc-js')
      .then(grpc => {
        let client = clients.get(address)
        if (client === undefined) {
          client = new CountedClient(grpc, target, address, traffic)
          if (!target.connectionPerStream) clients.set(address, client)
        }
        stream.begin(grpc, client, target, method)
      })
      .catch((error: Error) => handler.onClosed(GrpcStatus.Unavailable, error.message))
    return stream
  }
}

/** A client whose one connection, which may come again after it broke, is counted. */
class CountedClient {
  readonly client: Grpc.Client
  readonly traffic: ControlPlaneTraffic | null
  readonly host: HostTraffic | null
  readonly #states: typeof Grpc.connectivityState
  #connection: ConnectionTraffic | null = null
  /** Streams on it: those that wait, and those that have begun. */
  readonly requests = new Set<RequestTraffic>()
  readonly #onlyOne: boolean

  constructor(grpc: typeof Grpc, target: GrpcTarget, address: string, traffic: ControlPlaneTraffic | null) {
    this.client = connect(grpc, target, address)
    this.traffic = traffic
    this.host = traffic === null ? null : traffic.host(address)
    this.#states = grpc.connectivityState
    this.#onlyOne = target.connectionPerStream
    if (traffic !== null) this.#follow(this.client.getChannel().getConnectivityState(false))
  }

  open(): RequestTraffic | null {
    if (this.traffic === null || this.host === null) return null
    const ready = this.client.getChannel().getConnectivityState(false) === this.#states.READY
    const request = new RequestTraffic(this.traffic, this.host, !ready)
    this.requests.add(request)
    if (ready) request.begun(this.#onlyOne)
    return request
  }

  /** The stream has ended by itself: a connection that was for it alone goes. */
  done(request: RequestTraffic | null): void {
    if (request !== null) this.requests.delete(request)
    if (!this.#onlyOne) return
    this.#connection?.closed(true, false)
    this.#connection = null
    this.client.close()
  }

  #follow(state: number): void {
    this.client.getChannel().watchConnectivityState(state, Number.POSITIVE_INFINITY, error => {
      if (error !== undefined) return
      const now = this.client.getChannel().getConnectivityState(false)
      if (now === this.#states.SHUTDOWN) return
      this.#follow(now)
      this.#became(now)
    })
  }

  #became(state: number): void {
    const { CONNECTING, READY } = this.#states
    if (state === CONNECTING) this.#connection ??= new ConnectionTraffic(this.traffic!, this.host!)
    else if (state === READY) {
      this.#connection?.opened()
      for (const request of this.requests) request.begun(this.#onlyOne)
    } else {
      this.#connection?.closed(false, this.requests.size > 0)
      this.#connection = null
    }
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
  #client: CountedClient | null = null
  #request: RequestTraffic | null = null
  /** Messages sent before grpc-js was there. */
  #early: Uint8Array[] = []
  #over = false

  constructor(handler: XdsStreamHandler) {
    this.#handler = handler
  }

  begin(grpc: typeof Grpc, counted: CountedClient, target: GrpcTarget, method: string): void {
    if (this.#over) return
    this.#client = counted
    this.#request = counted.open()
    const { client } = counted
    const metadata = new grpc.Metadata()
    for (const [name, value] of target.metadata) {
      metadata.add(name, name.endsWith('-bin') ? Buffer.from(value, 'base64') : value)
    }
    const call = client.makeBidiStreamRequest<Uint8Array, Uint8Array>(method, serialize, identity, metadata)
    this.#call = call
    call.on('data', (message: Uint8Array) => {
      this.#request?.received(message.length + PREFIX)
      if (!this.#over) this.#handler.onMessage(message)
    })
    call.on('metadata', () => this.#request?.answered())
    // The status says the same.
    call.on('error', () => {})
    // The server has finished, we have not: without this the call would stay half open.
    call.on('end', () => call.end())
    // Comes once for every call, before or after `end`.
    call.on('status', (status: Grpc.StatusObject) => this.#end(status.code, status.details))
    for (const message of this.#early) this.#write(call, message)
    this.#early = []
  }

  send(message: Uint8Array): void {
    if (this.#over) return
    if (this.#call === null) this.#early.push(message)
    else this.#write(this.#call, message)
  }

  #write(call: Grpc.ClientDuplexStream<Uint8Array, Uint8Array>, message: Uint8Array): void {
    this.#request?.sent(message.length + PREFIX)
    call.write(message)
  }

  close(): void {
    if (this.#over) return
    this.#over = true
    this.#call?.cancel()
    this.#request?.ended(-1)
    this.#client?.done(this.#request)
  }

  #end(status: number, message: string): void {
    if (this.#over) return
    this.#over = true
    this.#request?.ended(status)
    this.#client?.done(this.#request)
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

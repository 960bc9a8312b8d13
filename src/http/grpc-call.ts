import { GrpcStatus } from '../base/grpc-status.ts'
import { HeaderBlock, PseudoOrder } from '../codec/header-block.ts'
import type { GrpcServiceConfig } from '../config/grpc-service.ts'
import type {
  GrpcCallUser,
  GrpcClient,
  GrpcStream,
  GrpcStreamUser,
  PendingCall,
  WorkerServices,
} from '../config/services.ts'
import { keepChunk } from '../io/chunk-pool.ts'
import { HeaderMutation } from '../routing/header-mutation.ts'
import { CompiledRetryPolicy } from '../routing/retry-policy.ts'
import type { RetryPolicy } from '../routing/route.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import { addInternalHeaders } from './async-client.ts'
import { AsyncStream, type AsyncStreamUser } from './async-stream.ts'
import { httpToGrpcStatus, setGrpcTimeout } from './grpc.ts'
import { GrpcFrameReader, grpcFrame } from './grpc-frames.ts'

const { OK, Unknown, ResourceExhausted, Internal, Unavailable } = GrpcStatus
/** Method, path, authority, scheme, three bits each. */
const PSEUDO_ORDER =
  (PseudoOrder.Method << 9) | (PseudoOrder.Path << 6) | (PseudoOrder.Authority << 3) | PseudoOrder.Scheme
/** What a grpc-status that is none stands for (Status::WellKnownGrpcStatus::InvalidCode). */
const INVALID_CODE = -1
const MAX_STATUS = 16
/** Without max_receive_message_length Envoy takes any length; a reply is memory that the peer decides about, so gRPC's usual limit. */
const MAX_MESSAGE = 4 * 1024 * 1024

/** A gRPC service on a worker: `initial_metadata`, authority, retries and limits of its GrpcService compiled once. */
export class AsyncGrpcClient implements GrpcClient {
  readonly cluster: string
  readonly maxMessage: number
  readonly retry: RetryPolicy | null
  readonly services: WorkerServices
  readonly #config: GrpcServiceConfig
  readonly #metadata: HeaderMutation
  readonly #localAddress: string

  constructor(config: GrpcServiceConfig, services: WorkerServices, localAddress: string) {
    this.cluster = config.cluster
    this.maxMessage = config.maxMessage === 0 ? MAX_MESSAGE : config.maxMessage
    this.retry = config.retry === null ? null : new CompiledRetryPolicy(config.retry, services.runtime)
    this.services = services
    this.#config = config
    this.#metadata = new HeaderMutation(config.metadata, [])
    this.#localAddress = localAddress
  }

  call(
    path: string,
    message: Uint8Array,
    timeout: number,
    user: GrpcCallUser,
    parent: FormatContext | null,
  ): PendingCall {
    const call = new UnaryCall(this, this.#head(path, timeout, parent), timeout, user)
    call.start(message)
    return call
  }

  open(path: string, user: GrpcStreamUser, parent: FormatContext | null): GrpcStream {
    const stream = new StreamingCall(this, this.#head(path, 0, parent), 0, user)
    stream.start()
    return stream
  }

  /** In the order the real one sends them: the gRPC specification wants `te` first. */
  #head(path: string, timeout: number, parent: FormatContext | null): HeaderBlock {
    const config = this.#config
    const h = new HeaderBlock()
    h.method = 'POST'
    h.path = path
    h.pseudoOrder = PSEUDO_ORDER
    h.authority = config.authority === '' ? config.cluster : config.authority
    h.push('te', 'trailers')
    if (timeout > 0) setGrpcTimeout(h, timeout)
    h.push('content-type', 'application/grpc')
    if (parent !== null) this.#metadata.apply(h, parent)
    // A call of nobody's request: the formats go out as they are written.
    else for (const { name, value } of config.metadata) h.set(name, value)
    if (!config.skipEnvoyHeaders) addInternalHeaders(h, this.#localAddress)
    return h
  }
}

/** The answer of a gRPC method, taken apart as Grpc::AsyncStreamImpl does; subclasses say what becomes of it. */
abstract class GrpcExchange implements AsyncStreamUser {
  protected readonly stream: AsyncStream
  readonly #frames: GrpcFrameReader
  #over = false

  constructor(client: AsyncGrpcClient, head: HeaderBlock, timeout: number) {
    this.stream = new AsyncStream(
      client.services,
      { cluster: client.cluster, timeout, retry: client.retry },
      head,
      this,
    )
    this.#frames = new GrpcFrameReader(client.maxMessage)
  }

  protected abstract message(message: Uint8Array): void
  /** The last word. */
  protected abstract closed(status: number, text: string): void

  cancel(): void {
    this.#over = true
    this.stream.cancel()
  }

  onHead(h: HeaderBlock, end: boolean): void {
    if (end && (h.status === 200 || h.has('grpc-status'))) this.onTrailers(h)
    else if (h.status !== 200) this.#fail(httpToGrpcStatus(h.status), '')
  }

  onBody(chunk: Uint8Array, end: boolean): void {
    keepChunk(chunk)
    const frames = this.#frames
    frames.push(chunk)
    for (let message = frames.next(); message !== null; message = frames.next()) {
      this.message(message)
      if (this.#over) return
    }
    if (frames.error === 'too large') this.#fail(ResourceExhausted, '')
    else if (frames.error !== '') this.#fail(Internal, '')
    // The status was to come in trailers.
    else if (end) this.#fail(Unknown, '')
  }

  onTrailers(t: HeaderBlock): void {
    const status = t.get('grpc-status')
    this.#close(status === undefined ? Unknown : knownStatus(status), t.get('grpc-message') ?? '')
  }

  onBroken(status: number, text: string): void {
    this.#close(status < 0 ? Internal : status === 0 ? Unavailable : httpToGrpcStatus(status), status < 0 ? '' : text)
  }

  #fail(status: number, text: string): void {
    this.stream.cancel()
    this.#close(status, text)
  }

  #close(status: number, text: string): void {
    if (this.#over) return
    this.#over = true
    this.closed(status, text)
  }
}

class UnaryCall extends GrpcExchange implements PendingCall {
  readonly #user: GrpcCallUser
  #reply: Uint8Array | null = null

  constructor(client: AsyncGrpcClient, head: HeaderBlock, timeout: number, user: GrpcCallUser) {
    super(client, head, timeout)
    this.#user = user
  }

  start(message: Uint8Array): void {
    this.stream.request(grpcFrame(message))
  }

  /** A server that sends several is not stopped: the last one counts, as in Envoy. */
  protected message(message: Uint8Array): void {
    this.#reply = message
  }

  protected closed(status: number, text: string): void {
    if (status === OK && this.#reply !== null) this.#user.onReply(this.#reply)
    else this.#user.onFailure(status === OK ? Internal : status, text)
  }
}

class StreamingCall extends GrpcExchange implements GrpcStream {
  readonly #user: GrpcStreamUser

  constructor(client: AsyncGrpcClient, head: HeaderBlock, timeout: number, user: GrpcStreamUser) {
    super(client, head, timeout)
    this.#user = user
  }

  start(): void {
    this.stream.open()
  }

  get blocked(): boolean {
    return this.stream.blocked
  }

  send(message: Uint8Array): void {
    this.stream.send(grpcFrame(message), false)
  }

  close(): void {
    this.stream.send(EMPTY, true)
  }

  protected message(message: Uint8Array): void {
    this.#user.onMessage(message)
  }

  protected closed(status: number, text: string): void {
    this.#user.onClosed(status, text)
  }
}

const EMPTY = Buffer.alloc(0)

function knownStatus(text: string): number {
  return /^[0-9]{1,9}$/.test(text) && Number(text) <= MAX_STATUS ? Number(text) : INVALID_CODE
}

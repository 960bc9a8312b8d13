import type { HeaderBlock } from '../codec/header-block.ts'
import type { WorkerServices } from '../config/services.ts'
import { keepChunk } from '../io/chunk-pool.ts'
import type { RetryPolicy } from '../routing/route.ts'
import { AsyncStream, type AsyncStreamUser } from './async-stream.ts'

/** Told once how a call ended. */
export interface CallUser {
  /**
   * A whole answer, whatever its status. `head` (with `head.status`) and `trailers` are the user's until it returns; `trailers` is
   * null when there were none.
   */
  onCallDone(head: HeaderBlock, body: Uint8Array, trailers: HeaderBlock | null): void
  /**
   * No whole answer in time: no cluster, no host, refused, reset, timeout, or the body was larger than it may be. `status` and
   * `text` as `AsyncStreamUser.onBroken` says.
   */
  onCallFailed(status: number, text: string): void
}

export interface CallOptions {
  readonly cluster: string
  /** ms for all attempts together; 0 = no limit. */
  readonly timeout: number
  /** `compileCoreRetry` makes one from envoy.config.core.v3.RetryPolicy; null = one attempt. */
  readonly retry: RetryPolicy | null
  readonly maxBody: number
  /** False: x-forwarded-for stays as it is. */
  readonly forwardedFor?: boolean
}

/**
 * One HTTP call of the data plane itself (keys, call-outs) through a cluster (Envoy: Http::AsyncClient). For short answers, which
 * are collected.
 */
export class AsyncCall implements AsyncStreamUser {
  readonly #stream: AsyncStream
  readonly #body: Uint8Array | null
  readonly #user: CallUser
  readonly #maxBody: number
  #head: HeaderBlock | null = null
  #chunks: Uint8Array[] = []
  #size = 0

  constructor(
    services: WorkerServices,
    options: CallOptions,
    head: HeaderBlock,
    body: Uint8Array | null,
    user: CallUser,
  ) {
    this.#stream = new AsyncStream(services, options, head, this)
    this.#body = body
    this.#user = user
    this.#maxBody = options.maxBody
  }

  /** May call the user before it returns. */
  start(): void {
    this.#stream.request(this.#body)
  }

  /** The user hears nothing more. */
  cancel(): void {
    this.#stream.cancel()
  }

  onHead(h: HeaderBlock, end: boolean): void {
    this.#head = h
    if (end) this.#done(null)
  }

  onBody(chunk: Uint8Array, end: boolean): void {
    this.#size += chunk.length
    if (this.#size > this.#maxBody) {
      this.#stream.cancel()
      this.#user.onCallFailed(-1, 'response is too large')
      return
    }
    if (chunk.length > 0) {
      keepChunk(chunk)
      this.#chunks.push(chunk)
    }
    if (end) this.#done(null)
  }

  onTrailers(t: HeaderBlock): void {
    this.#done(t)
  }

  onBroken(status: number, text: string): void {
    this.#user.onCallFailed(status, text)
  }

  #done(trailers: HeaderBlock | null): void {
    const chunks = this.#chunks
    this.#user.onCallDone(this.#head!, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks), trailers)
  }
}

/** What Envoy's async client adds to calls: that they come from the mesh itself, and from where, unless it was told not to. */
export function addInternalHeaders(h: HeaderBlock, localAddress: string, forwardedFor = true): void {
  h.set('x-envoy-internal', 'true')
  if (!forwardedFor) return
  const known = h.get('x-forwarded-for')
  h.set('x-forwarded-for', known === undefined || known === '' ? localAddress : `${known},${localAddress}`)
}

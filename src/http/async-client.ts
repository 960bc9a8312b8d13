import type { HeaderBlock } from '../codec/header-block.ts'
import type { CallOptions, CallUser, WorkerServices } from '../config/services.ts'
import { keepChunk } from '../io/chunk-pool.ts'
import { AsyncStream, type AsyncStreamUser } from './async-stream.ts'

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

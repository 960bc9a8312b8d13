/**
 * State of one resource type on one stream, state-of-the-world protocol. Pure: it is told what happened and says what to send
 * (https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol). The delta protocol will be a sibling of this class.
 */
export interface SotwRequest {
  readonly typeUrl: string
  /** Version last accepted; '' before the first. */
  readonly version: string
  /** Nonce of the response this answers; '' in the first request of a stream. */
  readonly nonce: string
  /** Names in ascending order; empty = everything (LDS and CDS only). */
  readonly names: readonly string[]
  /** Why the last response was rejected; '' for an ACK or a plain subscription. */
  readonly error: string
}

export class SotwSubscription {
  readonly typeUrl: string
  #names = new Set<string>()
  #wildcard = false
  #version = ''
  #nonce = ''
  #error = ''
  #dirty = false

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl
  }

  /** What is wanted now: every name anybody asked for, or everything. Marks a request as due when it changed. */
  want(names: Iterable<string>, wildcard: boolean): void {
    const next = new Set(names)
    if (wildcard === this.#wildcard && next.size === this.#names.size && [...next].every(n => this.#names.has(n)))
      return
    this.#names = next
    this.#wildcard = wildcard
    this.#dirty = true
  }

  /** False when nobody wants anything of the type. */
  get active(): boolean {
    return this.#wildcard || this.#names.size > 0
  }

  get version(): string {
    return this.#version
  }

  /** A new stream: "the nonce is per-stream", the version and the names are kept ("the client sends its last version"). */
  onStreamOpened(): void {
    this.#nonce = ''
    this.#error = ''
    this.#dirty = this.active
  }

  /** The resources were taken over. */
  onAccepted(version: string, nonce: string): void {
    this.#version = version
    this.#nonce = nonce
    this.#error = ''
    this.#dirty = true
  }

  /** They were not: "NACK … the version stays the previous one, the nonce is the rejected response's". */
  onRejected(nonce: string, error: string): void {
    this.#nonce = nonce
    this.#error = error
    this.#dirty = true
  }

  get due(): boolean {
    return this.#dirty
  }

  /** Takes the request that is due. */
  take(): SotwRequest {
    this.#dirty = false
    const error = this.#error
    // "Subsequent requests" that only change the names must not repeat the complaint.
    this.#error = ''
    return {
      typeUrl: this.typeUrl,
      version: this.#version,
      nonce: this.#nonce,
      names: this.#wildcard ? [] : [...this.#names].sort(),
      error,
    }
  }
}

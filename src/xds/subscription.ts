/**
 * State of one resource type on one stream, state-of-the-world protocol. Pure: it is told what happened and says what to send
 * (https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol). When a request is sent is Envoy's choice (grpc_mux_impl.cc):
 * at once for every change of interest and every answer, one request for all of them while the type is paused.
 */
export interface SotwRequest {
  readonly typeUrl: string
  /** Version last accepted; '' before the first. */
  readonly version: string
  /** Nonce of the response last judged on this stream; '' in the first request of a stream. */
  readonly nonce: string
  /** Names asked for; empty = everything (LDS and CDS), or nothing any more (RDS, EDS). */
  readonly names: readonly string[]
  /** Why the last response was rejected; '' for an ACK or a plain subscription. */
  readonly error: string
}

export class SotwSubscription {
  readonly typeUrl: string
  #names: readonly string[] = []
  #version = ''
  #nonce = ''
  #error = ''
  #paused = 0
  #pending = false

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl
  }

  /** Last good version; '' before the first. */
  get version(): string {
    return this.#version
  }

  get nonce(): string {
    return this.#nonce
  }

  get names(): readonly string[] {
    return this.#names
  }

  get paused(): boolean {
    return this.#paused > 0
  }

  /** What is wanted from now on: the union of what everybody asks for, in the order they asked; [] = everything. */
  want(names: readonly string[]): void {
    this.#names = names
  }

  /**
   * "The nonce is scoped to the stream: it must not be used after a reconnect"; "the client … should send the version it has
   * already": what was accepted stays known.
   */
  onStreamOpened(): void {
    this.#nonce = ''
    this.#error = ''
    this.#pending = false
  }

  /** ACK: "an ACK … contains the nonce from the DiscoveryResponse and version_info of the accepted version". */
  onAccepted(version: string, nonce: string): void {
    this.#version = version
    this.#nonce = nonce
    this.#error = ''
  }

  /** NACK: "… is indicated by the presence of the error_detail field"; the version stays the previous one. */
  onRejected(nonce: string, error: string): void {
    this.#nonce = nonce
    // An empty text would read as an ACK.
    this.#error = error === '' ? 'rejected' : error
  }

  /** Requests are held back until as many `resume` calls. */
  pause(): void {
    this.#paused++
  }

  /** True: a request was held back and is due now. */
  resume(): boolean {
    if (this.#paused === 0) throw new Error(`${this.typeUrl} is not paused`)
    if (--this.#paused > 0 || !this.#pending) return false
    this.#pending = false
    return true
  }

  /** Asks whether a request may go out; when paused it is remembered (once). */
  due(): boolean {
    if (this.#paused === 0) return true
    this.#pending = true
    return false
  }

  /** The request that says where things stand now. */
  take(): SotwRequest {
    const error = this.#error
    // A later request that only changes names must not repeat the complaint: it would be taken for another NACK.
    this.#error = ''
    return { typeUrl: this.typeUrl, version: this.#version, nonce: this.#nonce, names: this.#names, error }
  }
}

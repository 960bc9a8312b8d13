import type { StreamContext } from '../../stream-context.ts'
import type { Authenticator } from './authenticator.ts'

/** Hears how the requirement of a request ended. */
export interface VerificationUser {
  onVerified(verification: Verification, status: number): void
}

/** One request on its way through the requirement tree: which nodes are done, and what tokens have said. */
export class Verification {
  readonly stream: StreamContext
  readonly user: VerificationUser
  over = false
  /** Once it is over: a JwtStatus; -1 after `cancel`. */
  status = -1
  /** Per node: children that have answered; -1 = the node has answered itself. */
  readonly answered: Int16Array
  /** Per node: what an `any` says if nothing succeeds. */
  readonly worst: Uint8Array
  readonly #running: Authenticator[] = []
  #data: Record<string, unknown> | null = null
  #failures: Record<string, unknown> | null = null

  constructor(stream: StreamContext, user: VerificationUser, nodes: number) {
    this.stream = stream
    this.user = user
    this.answered = new Int16Array(nodes)
    this.worst = new Uint8Array(nodes)
  }

  addData(key: string, value: Readonly<Record<string, unknown>>): void {
    this.#data ??= {}
    this.#data[key] = value
  }

  addFailure(key: string, value: Readonly<Record<string, unknown>>): void {
    this.#failures ??= {}
    this.#failures[key] = value
  }

  run(authenticator: Authenticator): void {
    this.#running.push(authenticator)
    authenticator.start()
  }

  /** The root has answered. */
  end(status: number): void {
    if (this.over) return
    this.cancel()
    this.status = status
    const fields = { ...this.#data, ...this.#failures }
    if (Object.keys(fields).length > 0) this.stream.info.mergeMetadata('envoy.filters.http.jwt_authn', fields)
    this.user.onVerified(this, status)
  }

  cancel(): void {
    this.over = true
    for (const authenticator of this.#running) authenticator.cancel()
    this.#running.length = 0
  }
}

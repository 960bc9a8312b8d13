import type { StateObject } from '../../../telemetry/format-operators-metadata.ts'
import type { HeaderChange } from './answer.ts'

export type CheckResult = 'OK' | 'DENIED' | 'ERROR'

/** envoy.extensions.filters.http.ext_authz.v3.ShadowDecision in the filter state: what would have become of the request. */
export class ShadowDecision implements StateObject {
  readonly #result: CheckResult
  /** 0 = there is none. */
  readonly #status: number
  readonly #headers: readonly HeaderChange[]

  constructor(result: CheckResult, status: number, headers: readonly HeaderChange[]) {
    this.#result = result
    this.#status = status
    this.#headers = headers
  }

  toJSON(): object {
    return this.#fields('checkResult', 'statusCode', 'responseHeaders')
  }

  /** As Envoy prints it plainly: names as in the message. */
  toString(): string {
    return JSON.stringify(this.#fields('check_result', 'status_code', 'response_headers'))
  }

  field(name: string): string | undefined {
    if (name === 'check_result') return this.#result
    return name === 'status_code' && this.#status !== 0 ? String(this.#status) : undefined
  }

  #fields(result: string, status: string, headers: string): object {
    const out: Record<string, unknown> = { [result]: this.#result }
    if (this.#status !== 0) out[status] = this.#status
    if (this.#headers.length > 0) out[headers] = this.#headers.map(({ name, value }) => ({ key: name, value }))
    return out
  }
}

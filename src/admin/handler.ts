/** One admin endpoint. Each file of this folder exports one or more; `src/admin/server.ts` serves them. */
export interface AdminHandler {
  /** `/ready`; matched exactly. */
  readonly path: string
  /** Line of /help. */
  readonly help: string
  /** Parameters as /help lists them. */
  readonly parameters?: readonly AdminParameter[]
  /** True: POST only, anything else is 405. */
  readonly mutates: boolean
  handle(request: AdminRequest): AdminResponse | Promise<AdminResponse>
}

export interface AdminParameter {
  readonly name: string
  readonly help: string
  readonly oneOf?: readonly string[]
}

export interface AdminRequest {
  readonly method: string
  readonly path: string
  /** Decoded query; the first value of a name wins. */
  readonly query: ReadonlyMap<string, string>
  readonly body: string
  header(name: string): string | undefined
}

export interface AdminResponse {
  readonly status: number
  /** Default `text/plain; charset=UTF-8`. */
  readonly contentType?: string
  readonly headers?: readonly (readonly [string, string])[]
  readonly body: string | Uint8Array
  /** Called when the answer has been written out. */
  readonly afterwards?: () => void
}

export const JSON_TYPE = 'application/json'

/** One admin endpoint. Each file of this folder exports one or more; `admin.ts` lists them, `server.ts` serves them. */
export interface AdminHandler {
  /** `/ready`; matched exactly. */
  readonly path: string
  /** Line of /help. */
  readonly help: string
  /** Parameters as /help and the home page list them. */
  readonly parameters?: readonly AdminParameter[]
  /** True: POST only, anything else is 405. */
  readonly mutates: boolean
  handle(request: AdminRequest): AdminResponse | Promise<AdminResponse>
}

export interface AdminParameter {
  readonly name: string
  readonly help: string
  /** How the home page asks for it: a box to tick (present = on), a line of text, or one of `oneOf`. */
  readonly kind: 'flag' | 'text' | 'choice'
  readonly oneOf?: readonly string[]
}

export interface AdminRequest {
  readonly method: string
  /** Path with its query, as latin1. */
  readonly target: string
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
  /** Before `content-type`. */
  readonly headers?: readonly (readonly [string, string])[]
  readonly body: string | Uint8Array
  /** Called when the answer has been written out. */
  readonly afterwards?: () => void
}

export const TEXT_TYPE = 'text/plain; charset=UTF-8'
export const JSON_TYPE = 'application/json'
export const HTML_TYPE = 'text/html; charset=UTF-8'

/** What Envoy answers to a change that took effect. */
export const OK: AdminResponse = { status: 200, body: 'OK\n' }

export function badRequest(body: string): AdminResponse {
  return { status: 400, body }
}

export function flag(name: string, help: string): AdminParameter {
  return { name, help, kind: 'flag' }
}

export function text(name: string, help: string): AdminParameter {
  return { name, help, kind: 'text' }
}

export function choice(name: string, help: string, oneOf: readonly string[]): AdminParameter {
  return { name, help, kind: 'choice', oneOf }
}

import type { HeaderBlock } from '../../../codec/header-block.ts'
import type { StreamContext } from '../../stream-context.ts'
import { NamePatterns } from './answer.ts'
import type { ExtAuthzConfig } from './config.ts'

/** Says that the body a service gets is not whole; clients may not. */
export const PARTIAL_BODY = 'x-envoy-auth-partial-body'

/** What a check is about. */
export interface CheckSubject {
  readonly stream: StreamContext
  /** Null = bodies are not sent, or there is none. */
  readonly body: Buffer | null
  /** `body` is only its beginning. */
  readonly partial: boolean
  /** context_extensions of all levels, merged. */
  readonly extensions: Readonly<Record<string, string>>
}

/** Which headers of a request a service is told. */
export class HeaderSelection {
  readonly #allowed: NamePatterns | null
  readonly #disallowed: NamePatterns
  readonly #raw: boolean

  constructor(config: ExtAuthzConfig) {
    this.#allowed = config.allowedHeaders === null ? null : new NamePatterns(config.allowedHeaders)
    this.#disallowed = new NamePatterns(config.disallowedHeaders)
    this.#raw = config.rawHeaders
  }

  /** Name, value, name, value …, pseudo headers first; repeated ones are joined by commas unless raw ones are asked for. */
  headers({ stream, body, partial }: CheckSubject): string[] {
    const h = stream.requestHeaders!
    const out: string[] = []
    for (const name of PSEUDO) {
      const value = h.get(name)
      if (value !== undefined) this.#put(out, name, value)
    }
    const { list } = h
    for (let i = 0; i < list.length; i += 2) this.#put(out, list[i]!, list[i + 1]!)
    if (body !== null) out.push(PARTIAL_BODY, String(partial))
    return out
  }

  #put(out: string[], name: string, value: string): void {
    if (name === PARTIAL_BODY || this.#disallowed.has(name) || this.#allowed?.has(name) === false) return
    if (!this.#raw) {
      for (let i = 0; i < out.length; i += 2) {
        if (out[i] !== name) continue
        out[i + 1] += `,${value}`
        return
      }
    }
    out.push(name, value)
  }
}

const PSEUDO = [':authority', ':path', ':method', ':scheme'] as const

/** Puts names and values of `HeaderSelection` into a request to be sent. */
export function putHeaders(h: HeaderBlock, headers: readonly string[]): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    if (name.startsWith(':')) h.set(name, headers[i + 1]!)
    else h.push(name, headers[i + 1]!)
  }
}

import { HeaderBlock, internName } from '../codec/header-block.ts'
import type { HttpServiceConfig } from '../config/http-service.ts'
import { withoutStream } from './format-context.ts'
import { compileFormat, type TextFormatter } from './formatter.ts'
import { StreamInfo } from './stream-info.ts'

/** What formats of a sender see: no request and no connection. */
const NOBODY = withoutStream(new StreamInfo())

/** Heads of the POSTs with which telemetry goes to an HTTP service. */
export class ServiceRequest {
  readonly #service: HttpServiceConfig
  readonly #fixed: readonly string[]
  readonly #added: readonly { readonly name: string; readonly action: string; readonly format: TextFormatter }[]

  /** `fixed`: names and values in turn, before request_headers_to_add. */
  constructor(service: HttpServiceConfig, fixed: readonly string[]) {
    this.#service = service
    this.#fixed = fixed
    this.#added = service.headers.map(({ name, value, action }) => ({
      name: internName(name),
      action,
      format: compileFormat(value, false, service.extensions),
    }))
  }

  head(): HeaderBlock {
    const h = new HeaderBlock()
    h.method = 'POST'
    h.path = this.#service.path
    h.authority = this.#service.authority
    for (let i = 0; i < this.#fixed.length; i++) h.list.push(this.#fixed[i]!)
    for (const { name, action, format } of this.#added) {
      const value = format.format(NOBODY)
      const known = h.has(name)
      if (action === 'ifAbsent' ? known : action === 'overwriteIfExists' && !known) continue
      // The new value stands at the end, as HeaderMap::setReferenceKey leaves it.
      if (action !== 'append') h.remove(name)
      h.push(name, value)
    }
    return h
  }
}

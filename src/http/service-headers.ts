import { type HeaderBlock, internName } from '../codec/header-block.ts'
import { addCopy, inlineHeader, Side } from '../codec/inline-header.ts'
import { isFieldName, isFieldValue } from '../config/mutation-rules.ts'

/** Headers that a service outside adds to a request or a response (ext_authz, ratelimit). Names are lower case, values latin1. */

/** Others are left out of a response, asked to validate or not: they would end a field, or be its status. */
export function isSendable(name: string, value: string): boolean {
  return !name.startsWith(':') && isFieldName(name) && isFieldValue(value)
}

/**
 * Why a request with this header cannot be sent, in the words of Envoy's router, which refuses it (`StreamContext.unsendable`): it
 * would end the field, and another would begin. '' = it can.
 */
export function unsendable(name: string, value: string): string {
  if (name.startsWith(':') || isFieldName(name)) return isFieldValue(value) ? '' : `invalid header value for: ${name}`
  const shown = name.replace(/[^ -~]/g, c => ESCAPES[c] ?? `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
  return `invalid header name: ${shown}`
}

const ESCAPES: Readonly<Record<string, string>> = { '\r': '\\r', '\n': '\\n', '\t': '\\t' }

/** One more, or behind the value that is there where there can be one only, as path and host. */
export function addToRequest(h: HeaderBlock, name: string, value: string): void {
  const interned = name === 'host' ? ':authority' : internName(name)
  if (interned.startsWith(':')) {
    const known = h.get(interned)
    h.set(interned, known === undefined ? value : `${known},${value}`)
  } else addCopy(h, interned, inlineHeader(interned), value, Side.Request)
}

export function addToResponse(h: HeaderBlock, name: string, value: string): void {
  const interned = internName(name)
  addCopy(h, interned, inlineHeader(interned), value, Side.Response)
}

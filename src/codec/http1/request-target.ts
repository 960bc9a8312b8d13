import type { HeaderBlock } from '../header-block.ts'

const scheme = /^([a-zA-Z]+):\/\/([^/?]*)(.*)$/
/** Envoy's Utility::Url: a name without underscore or an IPv6 address, and a port that fits. User information is dropped. */
const host = '([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\])'
const authority = new RegExp(`^(?:[^@]*@)?(${host}(?::([0-9]{1,5}))?)$`)
const hostPort = new RegExp(`^${host}:([0-9]{1,5})$`)

/**
 * Splits absolute-form, authority-form and asterisk-form targets (RFC 9112 §3.2) in `h`; '' or Envoy's details of the error.
 * Without `absolute` (Http1ProtocolOptions.allow_absolute_url) such a target stays in the path.
 */
export function readTarget(h: HeaderBlock, absolute: boolean): string {
  const target = h.path
  if (h.method === 'CONNECT') {
    const match = hostPort.exec(target)
    if (match === null || Number(match[2]) > 65535) return 'http1.invalid_url'
    h.authority = target
    h.path = ''
    return ''
  }
  const first = target.charCodeAt(0)
  // A fragment is no part of any request target.
  if (first === 47) return ''
  if (first === 42) return target.length === 1 && h.method === 'OPTIONS' ? '' : 'http1.invalid_url'
  if (!absolute) return ''
  const match = target.indexOf('#') < 0 ? scheme.exec(target) : null
  if (match === null) return 'http1.codec_error'
  const where = authority.exec(match[2]!)
  if (where === null || (where[3] !== undefined && Number(where[3]) > 65535)) return 'http1.invalid_url'
  const name = match[1]!.toLowerCase()
  if (name !== 'http' && name !== 'https') return 'http1.invalid_scheme'
  h.scheme = name
  // RFC 9112 §3.2.2: the target's authority, never Host.
  h.authority = where[1]!
  h.path = match[3] === '' ? '/' : match[3]!
  return ''
}

import type { HeaderBlock } from '../header-block.ts'

/** A request whose `connection` has this many tokens is refused (Envoy: MAX_ALLOWED_NOMINATED_HEADERS). */
export const MAX_NOMINATED = 10
const MAX_TE = 256

const options = new Set(['close', 'keep-alive', 'upgrade', 'http2-settings', 'connection', 'te'])
/** Taking these away would hide where a request came from (Envoy: Utility::sanitizeConnectionHeader). */
const refused = new Set(['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'])

/**
 * Removes the headers a request's `connection` names (RFC 9110 §7.6.1) before anything reads them: a framing or
 * security header must not be seen here and be missing at the next hop. False: the request must be refused. A named
 * Host empties `authority`.
 */
export function dropNominated(h: HeaderBlock): boolean {
  const names = h
    .getAll('connection')!
    .toLowerCase()
    .split(',')
    .map(token => token.trim())
    .filter(token => token !== '')
  if (names.length >= MAX_NOMINATED) return false
  for (const name of names) {
    if (refused.has(name) || name.startsWith(':')) return false
    if (name === 'te' && (h.get('te')?.length ?? 0) > MAX_TE) return false
    if (options.has(name)) continue
    if (name === 'host') {
      h.authority = ''
      h.emptyAuthority = false
    } else h.remove(name)
  }
  return true
}

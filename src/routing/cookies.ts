import type { HeaderBlock } from '../codec/header-block.ts'

/** First value of a cookie, without its quotes; undefined when no `cookie` header has it (Http::Utility::parseCookieValue). */
export function cookieValue(h: HeaderBlock, name: string): string | undefined {
  const list = h.list
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== 'cookie') continue
    const value = inHeader(list[i + 1]!, name)
    if (value !== undefined) return value
  }
  return undefined
}

function inHeader(text: string, name: string): string | undefined {
  for (let at = 0; at < text.length; ) {
    let end = text.indexOf(';', at)
    if (end < 0) end = text.length
    while (at < end && text.charCodeAt(at) === 32) at++
    const equal = text.indexOf('=', at)
    if (equal >= 0 && equal < end && equal - at === name.length && text.startsWith(name, at)) {
      const value = text.slice(equal + 1, end).trimEnd()
      return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
    }
    at = end + 1
  }
  return undefined
}

/** Set-Cookie value as Envoy makes it (Http::Utility::makeSetCookieValue): Max-Age, Path, attributes, HttpOnly last. */
export function makeSetCookie(
  name: string,
  value: string,
  path: string,
  ttlSeconds: number,
  attributes: readonly { readonly name: string; readonly value: string }[],
): string {
  let out = `${name}="${value}"`
  if (ttlSeconds > 0) out += `; Max-Age=${ttlSeconds}`
  if (path !== '') out += `; Path=${path}`
  for (const { name: key, value: text } of attributes) out += text === '' ? `; ${key}` : `; ${key}=${text}`
  return `${out}; HttpOnly`
}

/** Query parameters as Envoy's QueryParamsMulti reads and writes them; texts are latin1. */

/** First value of a parameter, percent-decoded; undefined when it is not there. */
export function tokenParameter(path: string, name: string): string | undefined {
  const pairs = readQuery(path)
  for (const [key, value] of pairs) if (key === name) return value
  return undefined
}

/** The path without any parameter of that name; the others sorted by name and encoded again where that is needed. */
export function removeParameter(path: string, name: string): string {
  const left = readQuery(path).filter(([key]) => key !== name)
  const mark = path.indexOf('?')
  const bare = mark < 0 ? path : path.slice(0, mark)
  if (left.length === 0) return bare
  // A btree_map: by name, the values of one name in their order.
  left.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `${bare}?${left.map(([key, value]) => `${key}=${encode(value)}`).join('&')}`
}

function readQuery(path: string): [string, string][] {
  const mark = path.indexOf('?')
  if (mark < 0) return []
  const hash = path.indexOf('#', mark)
  const query = path.slice(mark + 1, hash < 0 ? path.length : hash)
  const pairs: [string, string][] = []
  for (const part of query.split('&')) {
    if (part === '') continue
    const equal = part.indexOf('=')
    pairs.push(equal < 0 ? [decode(part), ''] : [decode(part.slice(0, equal)), decode(part.slice(equal + 1))])
  }
  return pairs
}

function decode(text: string): string {
  if (!text.includes('%')) return text
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** Envoy leaves decoded texts as they are; a blank or `&` in one would make another request of it. */
function encode(text: string): string {
  return text.replace(
    /[^A-Za-z0-9\-._~!$'()*,;:@/?=]/g,
    c => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

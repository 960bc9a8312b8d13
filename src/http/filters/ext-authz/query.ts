/** The path with query parameters set and removed: all of them are written anew, sorted by name (QueryParamsMulti). Nothing is decoded. */
export function changeQuery(path: string, set: readonly string[], remove: readonly string[]): string {
  const mark = path.indexOf('?')
  const parameters = mark < 0 ? [] : readQuery(path.slice(mark + 1))
  const chosen = new Map<string, string>()
  for (let i = 0; i < set.length; i += 2) chosen.set(set[i]!, set[i + 1]!)
  const removed = new Set(remove)
  const kept = [...parameters.filter(([key]) => !chosen.has(key)), ...chosen].filter(([key]) => !removed.has(key))
  const bare = mark < 0 ? path : path.slice(0, mark)
  if (kept.length === 0) return bare
  kept.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `${bare}?${kept.map(([key, value]) => `${clean(key)}=${clean(value)}`).join('&')}`
}

function readQuery(query: string): [string, string][] {
  if (query === '') return []
  return query.split('&').map(part => {
    const equal = part.indexOf('=')
    return equal < 0 ? [part, ''] : [part.slice(0, equal), part.slice(equal + 1)]
  })
}

/** What would end the request line, or the path, is encoded whatever the service says (RFC 9112 §3.2). */
function clean(text: string): string {
  return text.replace(/[\0-\x20\x7f#]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

/** PercentEncoding::queryParameterIsUrlEncoded */
export function isEncoded(text: string): boolean {
  return /^[A-Za-z0-9\-._~!$'()*+,;:@/?%]*$/.test(text)
}

/** Differences of two JSON values, one line each, by path. An empty list means equal. */
export function differences(expected: unknown, actual: unknown, path = ''): string[] {
  if (Object.is(expected, actual)) return []
  if (Array.isArray(expected) && Array.isArray(actual)) return arrays(expected, actual, path)
  if (isRecord(expected) && isRecord(actual)) {
    const names = new Set([...Object.keys(expected), ...Object.keys(actual)])
    return [...names].flatMap(name => differences(expected[name], actual[name], path === '' ? name : `${path}.${name}`))
  }
  return [`${path}: expected ${show(expected)}, got ${show(actual)}`]
}

function arrays(expected: readonly unknown[], actual: readonly unknown[], path: string): string[] {
  const isText = expected.every(isString) && actual.every(isString)
  if (!isText || expected.length === actual.length) {
    const longest = Math.max(expected.length, actual.length)
    const out: string[] = []
    for (let i = 0; i < longest; i++) out.push(...differences(expected[i], actual[i], `${path}[${i}]`))
    return out
  }
  // Lists of lines of different length: name what is missing and what is too much instead of shifting everything.
  const missing = without(expected, actual).map(line => `${path}: missing ${show(line)}`)
  const extra = without(actual, expected).map(line => `${path}: unexpected ${show(line)}`)
  return [...missing, ...extra]
}

function without(lines: readonly unknown[], others: readonly unknown[]): unknown[] {
  const rest = [...others]
  return lines.filter(line => {
    const at = rest.indexOf(line)
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length <= 600 ? text : `${text.slice(0, 600)}…`
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isString(value: unknown): boolean {
  return typeof value === 'string'
}

/** Parses a query string or a form body: the first value of a name wins, `?flag` is `flag` with ''. */
export function parseQuery(text: string): Map<string, string> {
  const query = new Map<string, string>()
  if (text === '') return query
  for (const part of text.split('&')) {
    const equals = part.indexOf('=')
    const name = decode(equals < 0 ? part : part.slice(0, equals))
    if (!query.has(name)) query.set(name, equals < 0 ? '' : decode(part.slice(equals + 1)))
  }
  return query
}

/** Envoy decodes percent signs only and leaves `+` and malformed escapes alone. */
function decode(text: string): string {
  return text.replace(/(?:%[0-9a-fA-F]{2})+/g, run => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'))
}

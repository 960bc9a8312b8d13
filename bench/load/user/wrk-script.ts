import type { UserRequest } from './requests.ts'

/** A wrk script that sends the requests in turn. They are formatted once, before the load. */
export function wrkScript(requests: readonly UserRequest[]): string {
  const lines = ['local all = {}', 'function init(args)']
  for (const { method, host, path, headers, body } of requests) {
    const pairs = Object.entries({ ...headers, Host: host }).map(([name, value]) => `[${lua(name)}]=${lua(value)}`)
    const text = body === '' ? 'nil' : lua(body)
    lines.push(`  all[#all + 1] = wrk.format(${lua(method)}, ${lua(path)}, {${pairs.join(',')}}, ${text})`)
  }
  lines.push('end', 'local at = 0', 'function request()', '  at = at % #all + 1', '  return all[at]', 'end')
  return `${lines.join('\n')}\n`
}

/** A Lua string: every byte that is not plain is escaped by its decimal number. */
function lua(text: string): string {
  let out = '"'
  for (const byte of Buffer.from(text, 'utf8'))
    out +=
      byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\${String(byte).padStart(3, '0')}`
  return `${out}"`
}

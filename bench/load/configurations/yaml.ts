export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain | undefined }

/** Block YAML as people write it: what is benchmarked is the file an operator would have. Undefined members are left out. */
export function toYaml(value: Plain): string {
  const lines: string[] = []
  block(value, '', lines)
  return `${lines.join('\n')}\n`
}

function block(value: Plain, indent: string, lines: string[]): void {
  if (isList(value)) {
    for (const item of value) {
      if (isScalar(item)) lines.push(`${indent}- ${scalar(item)}`)
      else {
        const inner: string[] = []
        block(item, `${indent}  `, inner)
        inner[0] = `${indent}- ${inner[0]!.slice(indent.length + 2)}`
        for (const line of inner) lines.push(line)
      }
    }
    return
  }
  for (const [key, item] of Object.entries(value as Record<string, Plain | undefined>)) {
    if (item === undefined) continue
    const name = `${indent}${scalar(key)}:`
    if (isScalar(item)) lines.push(`${name} ${scalar(item)}`)
    else {
      lines.push(name)
      block(item, `${indent}  `, lines)
    }
  }
}

function isList(value: Plain): value is readonly Plain[] {
  return Array.isArray(value)
}

/** Empty lists and objects are written in flow style, so they count as scalars here. */
function isScalar(value: Plain): boolean {
  return value === null || typeof value !== 'object' || Object.keys(value).length === 0
}

function scalar(value: Plain): string {
  if (typeof value === 'object' && value !== null) return isList(value) ? '[]' : '{}'
  // Quoted unless it cannot be taken for anything but a string.
  if (typeof value === 'string')
    return /^[A-Za-z_/][\w./-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(value)
      ? value
      : JSON.stringify(value)
  return String(value)
}

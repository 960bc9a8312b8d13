interface Operation {
  readonly op: string
  readonly path: string
  readonly value?: unknown
}

/** RFC 6902 add, remove and replace, as an API server applies them; throws where a path does not exist. */
export function applyPatch(document: unknown, operations: readonly Operation[]): unknown {
  const root = structuredClone(document)
  for (const { op, path, value } of operations) {
    const names = path
      .split('/')
      .slice(1)
      .map(name => name.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = names.pop()!
    let at = root as Record<string, unknown>
    for (const name of names) {
      if (at[name] === undefined) throw new Error(`${op} ${path}: ${name} does not exist`)
      at = at[name] as Record<string, unknown>
    }
    if (Array.isArray(at)) {
      if (op === 'add' && last === '-') at.push(value)
      else if (op === 'remove') at.splice(Number(last), 1)
      else if (op === 'replace' && Number(last) < at.length) at[Number(last)] = value
      else throw new Error(`${op} ${path} in a list`)
    } else if (op === 'remove') {
      if (!(last in at)) throw new Error(`remove ${path}: does not exist`)
      delete at[last]
    } else if (op === 'replace' && !(last in at)) throw new Error(`replace ${path}: does not exist`)
    else at[last] = value
  }
  return root
}

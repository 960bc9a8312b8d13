import type { TaggedName } from './tags.ts'

/**
 * Stats whose tags are known when they are made travel from workers under one text: base name, then `\x01tag\x02value` for each.
 * Main shows them as Envoy does: the parts joined by dots, empty values left out.
 */
export function taggedName(base: string, tags: readonly string[]): string {
  let name = base
  for (let i = 0; i < tags.length; i += 2) name += `\x01${tags[i]!}\x02${tags[i + 1]!.replace(CONTROL, '_')}`
  return name
}

/** Values come from peers and must not look like separators. */
const CONTROL = /[\x00-\x1f]/g

export function isTagged(name: string): boolean {
  return name.includes('\x01')
}

/** The name as it is shown, and its parts. */
export function readTagged(name: string): { readonly display: string; readonly tagged: TaggedName } {
  const [base = '', ...parts] = name.split('\x01')
  const tags = parts.map(part => {
    const at = part.indexOf('\x02')
    return [part.slice(0, at), part.slice(at + 1)] as const
  })
  const display = [base, ...tags.flatMap(([tag, value]) => (value === '' ? [tag] : [tag, value]))].join('.')
  return { display, tagged: { name: base, tags } }
}

/** The support tables held against the descriptors. Apart from them, since workers load the tables and must not load descriptors. */
import { messageType } from './descriptors.ts'
import { type SupportLevel, supportTables } from './support.ts'

export interface SupportRow {
  readonly typeName: string
  readonly field: string
  readonly level: SupportLevel
}

/** All tables, all fields of their messages, sorted by type: the rows of docs/support-matrix.md. */
export function supportRows(): SupportRow[] {
  const rows: SupportRow[] = []
  for (const typeName of [...supportTables().keys()].sort()) {
    const levels = supportTables().get(typeName)!.fields as Readonly<Record<string, SupportLevel | undefined>>
    for (const f of messageType(typeName).fields)
      rows.push({ typeName, field: f.name, level: levels[f.name] ?? 'reject' })
  }
  return rows
}

/** Names in tables that their messages do not have: must be empty, a test looks. */
export function unknownSupportFields(): string[] {
  const out: string[] = []
  for (const [typeName, table] of supportTables()) {
    for (const name of Object.keys(table.fields))
      if (!messageType(typeName).byName.has(name)) out.push(`${typeName}.${name}`)
  }
  return out
}

import { readFileSync } from 'node:fs'
import type { envoy } from '../../config/gen/messages.d.ts'

export interface ResolvedData {
  /** Empty when the file is missing or the source is not set. */
  readonly bytes: Uint8Array
  /** As Envoy names it in errors: the path, `<inline>` or `<not set>`. */
  readonly source: string
}

const NOTHING = new Uint8Array(0)

/** Reads a DataSource on main; a file that is not there is empty, and the caller says what is missing. */
export function readData(data: envoy.config.core.v3.DataSource | undefined): ResolvedData {
  if (data === undefined) return { bytes: NOTHING, source: '' }
  if (data.filename !== undefined) return { bytes: readFile(data.filename), source: data.filename }
  if (data.inline_bytes !== undefined) return { bytes: data.inline_bytes, source: '<inline>' }
  if (data.inline_string !== undefined) return { bytes: Buffer.from(data.inline_string), source: '<inline>' }
  if (data.environment_variable !== undefined) {
    return { bytes: Buffer.from(process.env[data.environment_variable] ?? ''), source: '<inline>' }
  }
  return { bytes: NOTHING, source: '' }
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch {
    return NOTHING
  }
}

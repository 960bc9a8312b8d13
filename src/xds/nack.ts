import { ConfigError } from '../base/errors.ts'
import { FieldPath } from '../config/field-path.ts'
import { WireError } from '../config/wire-reader.ts'

/** One resource that was not taken over. */
export interface ResourceError {
  readonly name: string
  readonly error: Error
}

/** Envoy's limit for what it writes into a status (truncateGrpcStatusMessage): some control planes drop longer ones. */
const MAX_TEXT = 4096

/**
 * Why a resource or response is refused, in one line: Envoy's words, then field path and advice.
 *
 * @param named the text follows the name of the resource: a path that says no more than that is left out
 */
export function reasonOf(error: unknown, named = false): string {
  if (error instanceof ConfigError) {
    const place = named && error.at instanceof FieldPath && error.at.kind === 'root' ? [] : placeOf(error)
    return [error.envoyText, ...place, ...(error.advice === undefined ? [] : [error.advice])].join('; ')
  }
  if (error instanceof WireError) return `Unable to unpack: ${error.message}`
  return error instanceof Error ? error.message : String(error)
}

/** `Error adding/updating cluster(s) a: why\nb: why`, Envoy's text for CDS and LDS (cds_api_helper.cc, lds_api.cc). */
export function listErrors(what: 'cluster(s)' | 'listener(s)', errors: readonly ResourceError[]): string {
  const lines = errors.map(({ name, error }) => `${name}: ${reasonOf(error, true)}`)
  // LDS ends every line, CDS puts line breaks between them.
  return what === 'listener(s)'
    ? `Error adding/updating listener(s) ${lines.join('\n')}\n`
    : `Error adding/updating cluster(s) ${lines.join(', ')}`
}

export function truncated(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}...(truncated)`
}

function placeOf(error: ConfigError): string[] {
  const file = error.file === undefined ? '' : error.line === undefined ? error.file : `${error.file}:${error.line}`
  const place = [file, error.path].filter(part => part !== '').join(', ')
  return place === '' ? [] : [`at ${place}`]
}

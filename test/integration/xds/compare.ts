import { readFileSync } from 'node:fs'
import type { SeenRequest } from './control-plane.ts'
import type { RecordedStep } from './record-envoy.ts'

/** What the real Envoy said and counted, by scenario (record-envoy.ts). */
export const RECORD = JSON.parse(
  readFileSync(new URL('../../fixtures/envoy/ads-requests.json', import.meta.url), 'utf8'),
) as Record<string, RecordedStep[]>

/** What a control plane can tell: names are a set, of an error the words are compared and not the dump or the path. */
export function essence(request: SeenRequest, withError = true): object {
  const { error, ...rest } = request
  return {
    ...rest,
    ...(request.names === undefined ? {} : { names: [...request.names].sort() }),
    ...(error === undefined ? {} : { error: withError ? wordsOf(error) : 'some' }),
  }
}

/** Envoy prints the message before a broken rule; we put field path and advice behind all errors. */
function wordsOf(error: string): string {
  const rule = /Proto constraint validation failed \(.*?\)(?=\s*$|; )/.exec(error)
  if (rule !== null) return rule[0]
  return error
    .replace(/:? goo\.gle\/debug[\s\S]*$/, '')
    .replace(/(Unable to unpack as [\w.]+).*$/s, '$1')
    .replace(/; (at|docs\/)[^,\n]*/g, '')
    .trim()
}

import { log } from './log.ts'
import type { Env } from './node-identity.ts'

/** Go's strconv.ParseBool; anything else is the default, with a warning, as Istio's registry of variables has it (pkg/env). */
export function boolFrom(env: Env, variable: string, byDefault = false): boolean {
  const text = env[variable] ?? ''
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false
  if (text !== '') {
    log.warn(
      `Invalid environment variable value \`${text}\`, expecting true/false, defaulting to ${byDefault}: ${variable}`,
    )
  }
  return byDefault
}

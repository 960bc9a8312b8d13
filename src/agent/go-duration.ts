import { parseDuration } from '../base/go-duration.ts'
import { AgentError } from './agent-error.ts'
import type { Env } from './node-identity.ts'

/** Milliseconds. Throws AgentError with the name of the variable. */
export function durationFrom(env: Env, variable: string, byDefaultMs: number): number {
  const text = env[variable]
  if (text === undefined || text === '') return byDefaultMs
  const value = parseDuration(text)
  if (value === undefined) throw new AgentError(`${variable}=${text}: expected a duration such as 24h0m0s`)
  return value
}

import { AgentError } from './agent-error.ts'
import type { Env } from './node-identity.ts'

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Go's time.ParseDuration (`1h30m`, `100ms`), in milliseconds; undefined when it is none. Negative ones are none here. */
export function parseGoDuration(text: string): number | undefined {
  if (text === '0') return 0
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined
  let total = 0
  for (const [, value, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(value) * (UNITS[unit as string] as number)
  }
  return total
}

/** Milliseconds. Throws AgentError with the name of the variable. */
export function durationFrom(env: Env, variable: string, byDefaultMs: number): number {
  const text = env[variable]
  if (text === undefined || text === '') return byDefaultMs
  const value = parseGoDuration(text)
  if (value === undefined) throw new AgentError(`${variable}=${text}: expected a duration such as 24h0m0s`)
  return value
}

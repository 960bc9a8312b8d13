import type { Plan, Sample } from '../case.ts'
import { asLoad } from '../pinning.ts'
import { run } from '../processes/run.ts'
import type { Target } from '../target.ts'
import type { ExpectedAnswers } from '../user/expected.ts'
import { parseWrk } from './wrk.ts'

export interface WrkOptions {
  readonly connections: number
  readonly path?: string
  /** `Name: value` lines. */
  readonly headers?: readonly string[]
  readonly tls?: boolean
  readonly script?: string
  /** What the requests of the script are answered; without it, every status above 399 is an error. */
  readonly expected?: ExpectedAnswers
}

export function wrkCommand(options: WrkOptions, port: number | '{port}', seconds: number): string[] {
  const headers = (options.headers ?? []).flatMap(header => ['-H', header])
  const script = options.script === undefined ? [] : ['-s', options.script]
  const url = `${options.tls === true ? 'https' : 'http'}://127.0.0.1:${port}${options.path ?? '/'}`
  const size = ['-t1', `-c${options.connections}`, `-d${Math.ceil(seconds)}s`]
  return ['wrk', ...size, '--latency', '--timeout', '10s', ...headers, ...script, url]
}

export async function wrkLoad(options: WrkOptions, target: Target, plan: Plan): Promise<Sample> {
  const command = wrkCommand(options, target.sites.listen, plan.seconds)
  const result = parseWrk(await run(asLoad(plan.pinning, command), plan.seconds + 30))
  // A lost request has its place in the cycle too.
  const inFlight = options.connections + result.errors
  const surprise = options.expected?.surpriseByRefusals(result.refused, result.requests, inFlight) ?? null
  const refused = options.expected === undefined ? result.refused : (surprise?.errors ?? 0)
  return {
    seconds: result.seconds,
    count: result.requests,
    errors: result.errors + refused,
    ...(surprise === null ? {} : { unlike: surprise.text }),
    bytes: result.bytesRead,
    latency: result.latency,
  }
}

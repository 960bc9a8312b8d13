import type { Plan, Sample } from '../case.ts'
import { asLoad } from '../pinning.ts'
import { run } from '../processes/run.ts'
import type { Target } from '../target.ts'
import { parseWrk } from './wrk.ts'

export interface WrkOptions {
  readonly connections: number
  readonly path?: string
  /** `Name: value` lines. */
  readonly headers?: readonly string[]
  readonly tls?: boolean
  readonly script?: string
  /** Requests are of a kind that may be answered with any status: only lost ones are errors. */
  readonly anyStatus?: boolean
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
  return {
    seconds: result.seconds,
    count: result.requests,
    errors: result.errors + (options.anyStatus === true ? 0 : result.refused),
    bytes: result.bytesRead,
    latency: result.latency,
  }
}

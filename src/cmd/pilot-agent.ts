import { configureLog, log } from '../agent/log.ts'
import { FlagError, type FlagSpec, type Flags, parseFlags, suggestion } from './flags.ts'

/** `pilot-agent`: the entry point of the sidecar image, as Istio's. Exit status 255 for errors, a wrong command line too. */
interface Subcommand {
  readonly usage: string
  readonly flags: () => Promise<readonly FlagSpec[]>
  /** Unknown flags are skipped with a warning: templates of other versions may pass some. As Istio, only for `proxy`. */
  readonly takesUnknownFlags?: boolean
  /** Resolves to the exit status. */
  readonly run: (flags: Flags) => Promise<number>
}

/** Istio's os.Exit(-1). */
const FAILED = 255

/** Time for what was closed to be closed. */
const EXIT_WITHIN_MS = 100

const LOG_FLAGS: readonly FlagSpec[] = [
  flag('log_output_level', 'string', 'default:info', 'level per scope: <scope>:<level>,…'),
  flag('log_as_json', 'bool', 'false', 'one JSON object per line'),
  flag('log_target', 'string', 'stdout', 'stdout or stderr'),
  { ...flag('log_caller', 'string', '', 'scopes that log the caller'), unsupported: 'callers are not recorded' },
  flag('log_stacktrace_level', 'string', 'default:none', 'level that logs stack traces'),
  flag('vklog', 'int', '0', 'verbosity of the Kubernetes client, of which there is none'),
]

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  proxy: {
    usage: 'run the proxy of this pod: pilot-agent proxy sidecar',
    takesUnknownFlags: true,
    flags: async () => [
      flag('domain', 'string', '', 'DNS domain suffix; default <POD_NAMESPACE>.svc.cluster.local'),
      flag('meshConfig', 'string', './etc/istio/config/mesh', 'mesh configuration file'),
      flag('proxyBinary', 'string', '', 'proxy to run; default is the one of this package', ['REMORA_PROXY']),
      flag('serviceCluster', 'string', 'istio-proxy', 'service cluster'),
      flag('proxyLogLevel', 'string', 'warning', 'log level of the proxy, also per component: info,http:debug'),
      flag('proxyComponentLogLevel', 'string', '', 'log levels per component of the proxy'),
      flag('concurrency', 'int', '0', 'worker threads'),
      flag('profiling', 'bool', 'true', 'serve /debug/pprof (never served)'),
      { ...flag('stsPort', 'int', '0', 'security token service'), unsupported: 'there is no STS server' },
      { ...flag('tokenManagerPlugin', 'string', '', 'token provider'), unsupported: 'there is no STS server' },
      { ...flag('templateFile', 'string', '', 'bootstrap template'), unsupported: 'use ISTIO_BOOTSTRAP_OVERRIDE' },
      flag('outlierLogPath', 'string', '', 'file for the events of outlier detection'),
    ],
    run: async flags => {
      const { runProxy } = await import('../agent/proxy-command.ts')
      for (const [name, value] of flags.entries()) log.info(`FLAG: --${name}="${value}"`)
      return await runProxy({
        type: flags.operands[0] ?? 'sidecar',
        domain: flags.string('domain'),
        meshConfig: flags.string('meshConfig'),
        serviceCluster: flags.string('serviceCluster'),
        logLevel: flags.string('proxyLogLevel'),
        componentLogLevel: flags.string('proxyComponentLogLevel'),
        concurrency: flags.int('concurrency'),
        proxyBinary: flags.string('proxyBinary'),
        logAsJson: flags.bool('log_as_json'),
        outlierLogPath: flags.string('outlierLogPath'),
        env: process.env,
      })
    },
  },
  wait: {
    usage: 'wait until the proxy is ready',
    flags: async () => [
      flag('timeoutSeconds', 'int', '60', 'maximum number of seconds to wait for Envoy to be ready'),
      flag('requestTimeoutMillis', 'int', '500', 'number of milliseconds to wait for response'),
      flag('periodMillis', 'int', '500', 'number of milliseconds to wait between attempts'),
      flag('url', 'string', 'http://localhost:15021/healthz/ready', 'URL to use in requests'),
    ],
    run: async flags => {
      const { waitUntilReady } = await import('../agent/wait.ts')
      await waitUntilReady({
        url: flags.string('url'),
        timeoutMs: flags.int('timeoutSeconds') * 1000,
        periodMs: flags.int('periodMillis'),
        requestTimeoutMs: flags.int('requestTimeoutMillis'),
      })
      return 0
    },
  },
  request: {
    usage: 'make an HTTP request to the admin API of the proxy: pilot-agent request METHOD PATH [BODY]',
    flags: async () => [flag('debug-port', 'int', '15000', 'port of the local request')],
    run: async flags => {
      const { runRequest } = await import('../agent/request.ts')
      await runRequest(flags.operands, flags.int('debug-port'), text => void process.stdout.write(text))
      return 0
    },
  },
  version: {
    usage: 'print the version',
    flags: async () => [
      { ...flag('short', 'bool', 'false', 'only the number'), short: 's' },
      { ...flag('output', 'string', '', 'yaml or json'), short: 'o' },
    ],
    run: async flags => {
      const { ISTIO_VERSION, VERSION, versionText } = await import('../agent/version.ts')
      const output = flags.string('output')
      if (output !== '' && output !== 'json' && output !== 'yaml') {
        throw new FlagError("--output must be 'yaml' or 'json'")
      }
      const text = {
        '': flags.bool('short') ? VERSION : versionText(),
        json: JSON.stringify({ clientVersion: { version: VERSION, istioVersion: ISTIO_VERSION } }, null, 2),
        yaml: `clientVersion:\n  istioVersion: ${ISTIO_VERSION}\n  version: ${VERSION}\n`,
      }[output]
      process.stdout.write(`${text}\n`)
      return 0
    },
  },
  'istio-iptables': {
    usage: 'set up the rules that send the traffic of a pod through the proxy',
    flags: async () => (await import('../iptables/command.ts')).IPTABLES_FLAGS,
    run: async flags => {
      const { runIstioIptables } = await import('../iptables/command.ts')
      return await runIstioIptables(flags)
    },
  },
  'istio-clean-iptables': {
    usage: 'remove the rules again: istio-iptables --cleanup-only',
    flags: async () => (await import('../iptables/command.ts')).IPTABLES_FLAGS,
    run: async flags => {
      const { runIstioCleanIptables } = await import('../iptables/command.ts')
      return await runIstioCleanIptables(flags)
    },
  },
}

void main(process.argv.slice(2)).then(status => {
  process.exitCode = status
  // What still waits for something (a lookup, a connection to istiod) must not keep a pod that is going.
  setTimeout(() => process.exit(), EXIT_WITHIN_MS).unref()
})

async function main(argv: readonly string[]): Promise<number> {
  process.title = 'pilot-agent'
  const name = argv.find(token => !token.startsWith('-'))
  if (name === undefined || argv.includes('--help') || argv.includes('-h')) {
    await printUsage(name)
    return 0
  }
  const subcommand = SUBCOMMANDS[name]
  if (subcommand === undefined) {
    process.stderr.write(
      `Error: unknown command "${name}" for "pilot-agent"; known: ${Object.keys(SUBCOMMANDS).join(', ')}\n`,
    )
    return FAILED
  }
  try {
    const rest = [...argv]
    rest.splice(rest.indexOf(name), 1)
    const specs = [...(await subcommand.flags()), ...LOG_FLAGS]
    const flags = parseFlags(specs, rest, process.env, subcommand.takesUnknownFlags)
    applyLogFlags(flags)
    for (const unknown of flags.unknown) {
      const hint = suggestion(
        unknown.replace(/^--?|=.*$/gs, ''),
        specs.map(spec => spec.name),
      )
      log.warn(`unknown flag ${unknown} is ignored${hint}`)
    }
    return await subcommand.run(flags)
  } catch (error) {
    if (!(error instanceof FlagError || isForOperators(error))) throw error
    // In both places, as Istio's: whoever runs `kubectl exec` reads the one, log collectors the other.
    process.stderr.write(`Error: ${error.message}\n`)
    log.error(error.message)
    // The rules have a status of their own there.
    return error.name.startsWith('Iptables') ? 1 : FAILED
  }
}

/** Errors whose message is the whole story; any other is a bug and shows its stack. */
function isForOperators(error: unknown): error is Error {
  return error instanceof Error && /^(Iptables|Agent|Bootstrap)\w*Error$/.test(error.name)
}

function applyLogFlags(flags: Flags): void {
  const target = flags.string('log_target')
  if (target !== 'stdout' && target !== 'stderr') {
    throw new FlagError(`--log_target=${target}: only stdout and stderr are supported`)
  }
  const stream = target === 'stderr' ? process.stderr : process.stdout
  try {
    configureLog({
      json: flags.bool('log_as_json'),
      outputLevel: flags.string('log_output_level'),
      write: line => void stream.write(line),
    })
  } catch (error) {
    throw new FlagError((error as Error).message)
  }
}

async function printUsage(name: string | undefined): Promise<void> {
  const subcommand = name === undefined ? undefined : SUBCOMMANDS[name]
  if (subcommand === undefined) {
    const rows = Object.entries(SUBCOMMANDS).map(([key, { usage }]) => `  ${key.padEnd(16)}${usage}\n`)
    process.stdout.write(`Usage:\n  pilot-agent <command> [flags]\n\nCommands:\n${rows.join('')}`)
    return
  }
  const rows = [...(await subcommand.flags()), ...LOG_FLAGS].map(({ name, short, usage, unsupported, default: d }) => {
    const left = `${short === undefined ? '   ' : `-${short},`} --${name}`
    return `  ${left.padEnd(44)}${usage}${d === '' ? '' : ` (default ${d})`}${unsupported === undefined ? '' : ' [not supported]'}\n`
  })
  process.stdout.write(`${subcommand.usage}\n\nFlags:\n${rows.join('')}`)
}

function flag(
  name: string,
  kind: FlagSpec['kind'],
  byDefault: string,
  usage: string,
  env: readonly string[] = [],
): FlagSpec {
  return { name, kind, default: byDefault, usage, env }
}

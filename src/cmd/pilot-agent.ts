import { configureLog, log } from '../agent/log.ts'
import { FlagError, type FlagSpec, type Flags, parseFlags } from './flags.ts'

/** `pilot-agent`: the entry point of the sidecar image, as Istio's. Exit status 1 for a wrong command line too. */
interface Subcommand {
  readonly usage: string
  readonly flags: () => Promise<readonly FlagSpec[]>
  /** Resolves to the exit status. */
  readonly run: (flags: Flags) => Promise<number>
}

const LOG_FLAGS: readonly FlagSpec[] = [
  logFlag('log_output_level', 'string', 'default:info', 'level per scope: <scope>:<level>,…'),
  logFlag('log_as_json', 'bool', 'false', 'one JSON object per line'),
  { ...logFlag('log_target', 'string', 'stdout', 'stdout or stderr') },
  { ...logFlag('log_caller', 'string', '', 'scopes that log the caller'), unsupported: 'callers are not recorded' },
  logFlag('log_stacktrace_level', 'string', 'default:none', 'level that logs stack traces'),
  { ...logFlag('vklog', 'int', '0', 'verbosity of the Kubernetes client') },
]

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  'istio-iptables': {
    usage: 'set up the rules that send the traffic of a pod through the proxy',
    flags: async () => (await import('../iptables/command.ts')).IPTABLES_FLAGS,
    run: async flags => {
      const { runIstioIptables } = await import('../iptables/command.ts')
      runIstioIptables(flags)
      return 0
    },
  },
}

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  process.title = 'pilot-agent'
  const name = argv.find(token => !token.startsWith('-'))
  if (name === undefined || argv.includes('--help') || argv.includes('-h')) {
    await printUsage(name)
    return name === undefined && !argv.includes('--help') && !argv.includes('-h') ? 1 : 0
  }
  const subcommand = SUBCOMMANDS[name]
  if (subcommand === undefined) {
    process.stderr.write(
      `Error: unknown command "${name}" for "pilot-agent"; known: ${Object.keys(SUBCOMMANDS).join(', ')}\n`,
    )
    return 1
  }
  try {
    const rest = [...argv]
    rest.splice(rest.indexOf(name), 1)
    const flags = parseFlags([...(await subcommand.flags()), ...LOG_FLAGS], rest, process.env)
    applyLogFlags(flags)
    return await subcommand.run(flags)
  } catch (error) {
    if (error instanceof FlagError) process.stderr.write(`Error: ${error.message}\n`)
    else if (isForOperators(error)) log.error(error.message)
    else throw error
    return 1
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

function logFlag(name: string, kind: FlagSpec['kind'], byDefault: string, usage: string): FlagSpec {
  return { name, kind, default: byDefault, usage }
}

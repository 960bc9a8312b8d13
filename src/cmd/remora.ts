import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { nodeCommand } from '../../bench/load/place.ts'
import { FlagError, type FlagSpec, parseFlags } from './flags.ts'

/** `remora`: what is not needed in a pod. */
const USAGE = `Usage:
  remora bench [options]                                measures Remora beside other proxies; --help says how
  remora lab up [--once] [--explicit] [--proxy BINARY]   a small mesh on this machine, and a tour through it
  remora inject -f FILE [options]                        the workloads of a YAML file with the sidecar in them; see inject --help
  remora injector [options]                              the webhook that does it in a cluster; --manifests prints its installation
  remora compare --envoy BINARY --config FILE --trace FILE   the real Envoy and Remora on the same bytes; see compare --help

Flags of lab up:
  --once       end after the tour, with status 0 or 1
  --explicit   no network namespaces and no iptables, even where they are possible
  --proxy      proxy to run in the sidecars (also environment variable REMORA_PROXY); default is Remora's own
`

const LAB_FLAGS: readonly FlagSpec[] = [
  { name: 'once', kind: 'bool', default: 'false', usage: 'end after the tour' },
  { name: 'explicit', kind: 'bool', default: 'false', usage: 'no namespaces, no iptables' },
  { name: 'proxy', kind: 'string', default: '', usage: 'proxy to run', env: ['REMORA_PROXY'] },
]

void main(process.argv.slice(2)).then(status => {
  process.exitCode = status
})

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv
  try {
    switch (command) {
      case 'lab':
        return await lab(rest)
      case 'bench':
        return await program('bench', 'run', rest)
      case 'lab-app':
        // Runs on until it is ended; the event loop keeps it.
        await (await import('../lab/apps/run.ts')).runApp(rest)
        return 0
      case 'inject':
        return await (await import('./inject.ts')).inject(rest)
      case 'injector':
        return await (await import('./injector.ts')).injector(rest)
      case 'compare':
        return await program('compare', 'compare', rest)
      case '--help':
      case '-h':
      case 'help':
        process.stdout.write(USAGE)
        return 0
      case undefined:
        process.stderr.write(USAGE)
        return 1
      default:
        throw new FlagError(`unknown command "${command}" for "remora"\n${USAGE}`)
    }
  } catch (error) {
    if (!(error instanceof FlagError)) throw error
    process.stderr.write(`Error: ${error.message}\n`)
    return 1
  }
}

/** A process of its own: what is measured and what measures share nothing, and this bundle does not carry it. */
async function program(name: string, script: string, argv: readonly string[]): Promise<number> {
  process.title = `remora ${name}`
  const [node, ...args] = nodeCommand(script, ...argv)
  const child = spawn(node!, args, { stdio: 'inherit' })
  // This one stays until that one has cleaned up. kill(1) reaches only this one; a terminal's interrupt comes to that one twice.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

async function lab(argv: readonly string[]): Promise<number> {
  process.title = 'remora lab'
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE)
    return 0
  }
  const flags = parseFlags(LAB_FLAGS, argv, process.env)
  if (flags.operands.length !== 1 || flags.operands[0] !== 'up') throw new FlagError(`use: remora lab up\n${USAGE}`)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  // `| head` closes the pipe, a bug throws: either way the lab is taken down before the process ends.
  process.stdout.on('error', () => stop.abort())
  let broken = false
  process.on('uncaughtException', error => {
    process.stderr.write(`${error.stack}\n`)
    broken = true
    stop.abort()
  })
  const { labUp } = await import('../lab/up.ts')
  const status = await labUp({
    once: flags.bool('once'),
    explicit: flags.bool('explicit'),
    proxyBinary: flags.string('proxy'),
    print: line => void process.stdout.write(`${line}\n`),
    signal: stop.signal,
  })
  // Nothing of the lab runs any more; a timer of a library must not keep the terminal.
  process.exit(broken ? 1 : status)
}

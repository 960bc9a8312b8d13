import { readFileSync, writeFileSync } from 'node:fs'
import { InjectionError } from '../lab/inject/kubernetes.ts'
import { injectResources } from '../lab/inject/resource-file.ts'
import { FlagError, type FlagSpec, parseFlags } from './flags.ts'
import { describe, SETTINGS_FLAGS, settingsOf } from './inject-flags.ts'

const FLAGS: readonly FlagSpec[] = [
  { name: 'filename', short: 'f', kind: 'string', default: '', usage: 'workloads to inject, YAML or JSON; - is stdin' },
  { name: 'output', short: 'o', kind: 'string', default: '', usage: 'file to write instead of stdout' },
  ...SETTINGS_FLAGS,
]

/** `remora inject`: what `istioctl kube-inject` is for Istio. Returns the exit status; throws FlagError. */
export function inject(argv: readonly string[]): number {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(`Usage: remora inject -f FILE [options]\n\n${describe(FLAGS)}`)
    return 0
  }
  const flags = parseFlags(FLAGS, argv, process.env)
  const file = flags.string('filename') || flags.operands[0]
  if (file === undefined || flags.operands.length > 1) throw new FlagError('use: remora inject -f FILE')
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw new FlagError(`-f ${file}: ${(error as Error).message}`)
  }
  try {
    const out = injectResources(text, settingsOf(flags), line => void process.stderr.write(`${line}\n`))
    const target = flags.string('output')
    if (target === '') process.stdout.write(out)
    else writeFileSync(target, out)
    return 0
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error
    process.stderr.write(`Error: ${file}: ${error.message}\n`)
    return 1
  }
}

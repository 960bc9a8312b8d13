import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../..')
export const REMORA = join(ROOT, 'bin/envoy')

export interface Outcome {
  readonly status: number | null
  readonly out: string
  readonly errors: string
}

/** `remora compare` in a folder. `firstPort`: nobody else's, the command counts up from there. */
export function runCompare(folder: string, firstPort: number, argv: readonly string[]): Promise<Outcome> {
  return startCompare(folder, firstPort, argv).outcome
}

/** The same, for those who do not let it end by itself. */
export function startCompare(
  folder: string,
  firstPort: number,
  argv: readonly string[],
): { readonly child: ChildProcess; readonly outcome: Promise<Outcome> } {
  const child = spawn(join(ROOT, 'bin/remora'), ['compare', '--first-port', String(firstPort), ...argv], {
    cwd: folder,
  })
  let out = ''
  let errors = ''
  child.stdout.on('data', chunk => {
    out += chunk
  })
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  const outcome = new Promise<Outcome>(resolve => {
    child.once('close', status => resolve({ status, out, errors }))
  })
  return { child, outcome }
}

/** A proxy that changes its configuration first: `edit` is source of a function over the text of the file. Returns its path. */
export function editingProxy(folder: string, name: string, edit: string): string {
  const script = join(folder, `${name}.mjs`)
  writeFileSync(
    script,
    `import { readFileSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
const argv = process.argv.slice(2)
const at = argv.indexOf('-c') + 1
if (at > 0) writeFileSync(argv[at], (${edit})(readFileSync(argv[at], 'utf8')))
const child = spawn(${JSON.stringify(REMORA)}, argv, { stdio: 'inherit' })
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => child.kill(signal))
child.on('exit', code => process.exit(code ?? 1))
`,
  )
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\nexec ${process.execPath} ${script} "$@"\n`)
  chmodSync(path, 0o755)
  return path
}

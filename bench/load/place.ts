import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Root of the clone or of the installed package. */
export const packageRoot = findRoot(import.meta.dirname)

/** False in the installed package, which has bundles and no sources. */
export const inClone = existsSync(join(packageRoot, 'bench/load'))

/** A program of the bench that runs as a process of its own: its source in a clone, its bundle in the installed package. */
export function benchScript(name: string): string {
  const source = join(packageRoot, 'bench/load', `${name}.ts`)
  return existsSync(source) ? source : join(packageRoot, 'dist/bench', `${name}.js`)
}

/** Node with the flags under which type stripping prints no warning. */
export function nodeCommand(name: string, ...args: string[]): string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', benchScript(name), ...args]
}

function findRoot(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder
    if (dirname(folder) === folder) throw new Error(`no package.json above ${from}`)
  }
}

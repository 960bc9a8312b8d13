import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Root of the clone or of the installed package. */
export const packageRoot = findRoot(import.meta.dirname)

/** False in the installed package, which has bundles and no sources. */
export const inClone = existsSync(join(packageRoot, 'bench/load'))

/** A program of the bench, which runs as a process of its own: its source in a clone, its bundle in the installed package. */
export function benchScript(name: string): string {
  return inClone
    ? join(packageRoot, 'bench/load', `${name}.ts`)
    : join(packageRoot, 'dist/bench', `${name.replace('/', '-')}.mjs`)
}

/** Node with the flags under which type stripping prints no warning. */
export function nodeCommand(name: string, ...args: string[]): string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', benchScript(name), ...args]
}

/** Folder of an installed package that this one depends on; null when it is not there. */
export function dependencyFolder(name: string): string | null {
  for (let folder = packageRoot; ; folder = dirname(folder)) {
    const found = join(folder, 'node_modules', name)
    if (existsSync(join(found, 'package.json'))) return found
    if (dirname(folder) === folder) return null
  }
}

/** dist/ may have a package.json of its own; only the root has the launchers. */
function findRoot(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'bin/launch.sh'))) return folder
    if (dirname(folder) === folder) throw new Error(`no installation of Remora above ${from}`)
  }
}

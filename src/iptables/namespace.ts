import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { IptablesError } from './commands.ts'

/** Throws IptablesError when there is no such file. */
export function isCurrentNamespace(path: string): boolean {
  try {
    const wanted = statSync(path)
    const current = statSync('/proc/self/ns/net')
    return wanted.ino === current.ino && wanted.dev === current.dev
  } catch (error) {
    throw new IptablesError(`--network-namespace=${path}: ${(error as Error).message}`)
  }
}

/**
 * This very command once more, inside the namespace; returns its exit status. A new process, because all of the work
 * belongs there: addresses of the pod, sysfs, the validator's sockets.
 */
export function runInNamespace(path: string): number {
  const argv = [`--net=${path}`, '--', process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const done = spawnSync('nsenter', argv, { stdio: 'inherit' })
  if (done.error !== undefined) {
    throw new IptablesError(
      `nsenter --net=${path} failed: ${done.error.message}\n  → needs the util-linux package and capability SYS_ADMIN`,
    )
  }
  return done.status ?? 1
}

import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** User and group of a pod's agent and proxy: the rules exempt what they send. */
export const PROXY_UID = 1337

/** argv that runs the rest as that user, and ends it when this process dies. */
export function userOptions(uid: number, gid: number): string[] {
  return ['setpriv', '--reuid', String(uid), '--regid', String(gid), '--clear-groups', '--pdeathsig', 'TERM']
}

let setpriv: boolean | undefined

export function hasSetpriv(): boolean {
  setpriv ??= process.platform === 'linux' && spawnSync('setpriv', ['--version']).status === 0
  return setpriv
}

/**
 * UID 1337 as in a pod; or root with group 1337, which the rules exempt as well (Istio runs so in TPROXY mode), where
 * that user cannot reach the programs, as in a checkout below /root.
 */
export function proxyUser(programs: readonly string[]): readonly string[] {
  return userOptions(programs.every(reachableByOthers) ? PROXY_UID : 0, PROXY_UID)
}

function reachableByOthers(path: string): boolean {
  if (!path.includes('/')) return true
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    if (!existsSync(at) || (statSync(at).mode & 0o001) === 0) {
      // The program itself may be a script that an interpreter reads.
      if (at !== path || !isReadable(at)) return false
    }
  }
  return true
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return (statSync(path).mode & 0o004) !== 0
  } catch {
    return false
  }
}

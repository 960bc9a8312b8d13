import { rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { AgentError } from '../agent-error.ts'
import { log } from '../log.ts'

const PATIENCE_MS = 1000

/**
 * Whether someone serves on this Unix socket. A socket that nobody serves is the rest of a container that died: it is
 * removed. Rejects with AgentError when it cannot be.
 */
export async function socketIsServed(path: string): Promise<boolean> {
  const entry = statSync(path, { throwIfNoEntry: false })
  if (entry === undefined || entry.isFile()) return false
  const problem = await tryToConnect(path)
  if (problem === undefined) return true
  log.debug(`SDS socket detected but not healthy: ${problem}`, { path })
  try {
    rmSync(path)
  } catch (error) {
    throw new AgentError(`existing SDS socket could not be removed: ${(error as Error).message}`)
  }
  return false
}

function tryToConnect(path: string): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = connect(path)
    const done = (problem: string | undefined): void => {
      socket.destroy()
      resolve(problem)
    }
    socket.setTimeout(PATIENCE_MS, () => done('no answer'))
    socket.once('connect', () => done(undefined))
    socket.once('error', error => done(error.message))
  })
}

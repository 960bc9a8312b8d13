import { readFileSync } from 'node:fs'
import { AgentError } from '../agent-error.ts'

/** What resolv.conf(5) says that the DNS proxy needs. */
export interface ResolvConf {
  /** IP addresses; all on port 53. */
  readonly servers: readonly string[]
  readonly search: readonly string[]
}

/** Throws AgentError when the file cannot be read: without it no name outside the mesh would resolve. */
export function readResolvConf(path: string): ResolvConf {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new AgentError(`failed to start local DNS server: failed to load ${path}: ${(error as Error).message}`)
  }
  return parseResolvConf(text)
}

function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = []
  let search: string[] = []
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (word === 'nameserver' && rest[0] !== undefined) servers.push(rest[0])
    // The last of either line counts.
    else if (word === 'search') search = rest
    else if (word === 'domain' && rest[0] !== undefined) search = [rest[0]]
  }
  return { servers, search }
}

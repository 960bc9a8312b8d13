import { bareHost, isPrivateOrLocal } from './blocked-address.ts'

/** One WWW-Authenticate (RFC 9110 section 11.6.1); names of scheme and parameters in lower case. */
export interface AuthChallenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

/** The one that can be answered, or else the first; null without any. */
export function chooseChallenge(headers: readonly string[]): AuthChallenge | null {
  const all = headers.map(parse).filter(challenge => challenge !== null)
  return all.find(({ scheme }) => scheme === 'basic' || scheme === 'bearer') ?? all[0] ?? null
}

/**
 * Where a token is to be asked for. Throws Error when that would send the agent, and credentials with it, to the pod, its cluster or the
 * metadata of the cloud, or into the open: credentials go by TLS, except for a registry without it.
 */
export function realmUrl(realm: string, plainAllowed: boolean): URL {
  if (!URL.canParse(realm)) throw new Error(`rejected unsafe bearer realm: ${realm} is no URL`)
  const url = new URL(realm)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && plainAllowed)) {
    throw new Error(`rejected unsafe bearer realm: scheme "${url.protocol.slice(0, -1)}" not allowed`)
  }
  const host = bareHost(url)
  if (host === 'localhost' || host === 'metadata.google.internal' || isPrivateOrLocal(host)) {
    throw new Error(`rejected unsafe bearer realm: ${host} is private, local or a metadata service`)
  }
  return url
}

const PARAMETER = /\s*(?:,\s*)?([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([\w!#$%&'*+.^`|~-]+))/y

function parse(header: string): AuthChallenge | null {
  const scheme = /^[\w!#$%&'*+.^`|~-]+/.exec(header)?.[0]
  if (scheme === undefined) return null
  const parameters = new Map<string, string>()
  PARAMETER.lastIndex = scheme.length
  for (let found = PARAMETER.exec(header); found !== null; found = PARAMETER.exec(header)) {
    const [, name = '', quoted, token = ''] = found
    parameters.set(name.toLowerCase(), quoted?.replaceAll(/\\(.)/g, '$1') ?? token)
  }
  return { scheme: scheme.toLowerCase(), parameters }
}

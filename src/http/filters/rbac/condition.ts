import { isIP } from 'node:net'
import { compileRegex, type Regex } from '../../../base/regex.ts'
import type { HeaderBlock } from '../../../codec/header-block.ts'
import { HeaderMatch } from '../../../config/header-match.ts'
import { compileStringMatch, type StringMatch } from '../../../config/string-match.ts'
import { MetadataMatch } from '../../../config/value-match.ts'
import { CidrTable } from '../../../io/cidr-table.ts'
import type { Connection } from '../../../io/connection.ts'
import type { StreamInfo } from '../../../telemetry/stream-info.ts'
import type { AddressSource, ConditionConfig } from './rules-config.ts'

/** A compiled permission or principal (source/extensions/filters/common/rbac/matchers.cc). */
export interface Condition {
  /** `h` is empty for connections. */
  matches(c: Connection, h: HeaderBlock, info: StreamInfo): boolean
}

export function compileCondition(config: ConditionConfig): Condition {
  switch (config.kind) {
    case 'any':
      return ANY
    case 'and':
      return new And(config.of.map(compileCondition))
    case 'or':
      return config.of.length === 1 ? compileCondition(config.of[0]!) : new Or(config.of.map(compileCondition))
    case 'not':
      return new Not(compileCondition(config.of))
    case 'header':
      return new Header(new HeaderMatch(config.match))
    case 'path':
      return new Path(compileStringMatch(config.match))
    case 'template':
      return new Template(compileRegex(config.pattern))
    case 'ip':
      return new Ip(config.source, new Prefixes(config.prefixes, config.invert))
    case 'port':
      return new Port(config.start, config.end)
    case 'metadata':
      return new Metadata(new MetadataMatch(config.match), config.ofRoute)
    case 'state':
      return new State(config.key, compileStringMatch(config.match))
    case 'stateAddress':
      return new StateAddress(config.key, new Prefixes(config.prefixes, config.invert))
    case 'serverName':
      return new ServerName(compileStringMatch(config.match))
    case 'authenticated':
      return new Authenticated(config.match === null ? null : compileStringMatch(config.match))
  }
}

const ANY: Condition = { matches: () => true }

class And implements Condition {
  readonly #of: readonly Condition[]

  constructor(of: readonly Condition[]) {
    this.#of = of
  }

  matches(c: Connection, h: HeaderBlock, info: StreamInfo): boolean {
    const of = this.#of
    for (let i = 0; i < of.length; i++) if (!of[i]!.matches(c, h, info)) return false
    return true
  }
}

class Or implements Condition {
  readonly #of: readonly Condition[]

  constructor(of: readonly Condition[]) {
    this.#of = of
  }

  matches(c: Connection, h: HeaderBlock, info: StreamInfo): boolean {
    const of = this.#of
    for (let i = 0; i < of.length; i++) if (of[i]!.matches(c, h, info)) return true
    return false
  }
}

class Not implements Condition {
  readonly #of: Condition

  constructor(of: Condition) {
    this.#of = of
  }

  matches(c: Connection, h: HeaderBlock, info: StreamInfo): boolean {
    return !this.#of.matches(c, h, info)
  }
}

class Header implements Condition {
  readonly #match: HeaderMatch

  constructor(match: HeaderMatch) {
    this.#match = match
  }

  matches(_c: Connection, h: HeaderBlock): boolean {
    return this.#match.matches(h)
  }
}

/** Without query and fragment; a request without a path (CONNECT) never matches. */
class Path implements Condition {
  readonly #match: StringMatch

  constructor(match: StringMatch) {
    this.#match = match
  }

  matches(_c: Connection, h: HeaderBlock): boolean {
    return h.path !== '' && this.#match.matches(pathOnly(h.path))
  }
}

class Template implements Condition {
  readonly #regex: Regex

  constructor(regex: Regex) {
    this.#regex = regex
  }

  matches(_c: Connection, h: HeaderBlock): boolean {
    return this.#regex.fullMatch(pathOnly(h.path))
  }
}

function pathOnly(path: string): string {
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i)
    if (c === 63 /* ? */ || c === 35 /* # */) return path.slice(0, i)
  }
  return path
}

class Prefixes {
  readonly #table = new CidrTable<true>()
  readonly #invert: boolean

  constructor(prefixes: readonly string[], invert: boolean) {
    for (const prefix of prefixes) this.#table.at(prefix, () => true)
    this.#invert = invert
  }

  /** What is no IP address (a Unix socket) is in no range. */
  has(ip: string): boolean {
    return (isIP(ip) !== 0 && this.#table.find(ip) !== null) !== this.#invert
  }
}

class Ip implements Condition {
  readonly #source: AddressSource
  readonly #prefixes: Prefixes

  constructor(source: AddressSource, prefixes: Prefixes) {
    this.#source = source
    this.#prefixes = prefixes
  }

  matches(c: Connection, _h: HeaderBlock, info: StreamInfo): boolean {
    return this.#prefixes.has(this.#ip(c, info))
  }

  #ip(c: Connection, info: StreamInfo): string {
    switch (this.#source) {
      case 'local':
        return c.local.ip
      case 'connectionRemote':
        return c.remote.ip
      case 'directRemote':
        return c.directRemote.ip
      case 'remote':
        // The client that trusted headers name, if any.
        return info.client === null ? c.remote.ip : info.client.ip
    }
  }
}

class Port implements Condition {
  readonly #start: number
  readonly #end: number

  constructor(start: number, end: number) {
    this.#start = start
    this.#end = end
  }

  matches(c: Connection): boolean {
    const { port, ip } = c.local
    return port >= this.#start && port < this.#end && !ip.startsWith('/')
  }
}

class Metadata implements Condition {
  readonly #match: MetadataMatch
  readonly #ofRoute: boolean

  constructor(match: MetadataMatch, ofRoute: boolean) {
    this.#match = match
    this.#ofRoute = ofRoute
  }

  matches(_c: Connection, _h: HeaderBlock, info: StreamInfo): boolean {
    if (!this.#ofRoute) return this.#match.matches(info.dynamicMetadata)
    // Without a route there is nothing to match, inverted or not.
    return info.routeMetadata !== null && this.#match.matches(info.routeMetadata)
  }
}

class State implements Condition {
  readonly #key: string
  readonly #match: StringMatch

  constructor(key: string, match: StringMatch) {
    this.#key = key
    this.#match = match
  }

  matches(_c: Connection, _h: HeaderBlock, info: StreamInfo): boolean {
    const value = info.state(this.#key)
    return value !== undefined && value !== null && this.#match.matches(String(value))
  }
}

class StateAddress implements Condition {
  readonly #key: string
  readonly #prefixes: Prefixes

  constructor(key: string, prefixes: Prefixes) {
    this.#key = key
    this.#prefixes = prefixes
  }

  /** An object that is no address matches no range, and no inverted one either. */
  matches(_c: Connection, _h: HeaderBlock, info: StreamInfo): boolean {
    const value = info.state(this.#key)
    if (value === undefined || value === null) return false
    const text = String(value)
    return isIP(text) !== 0 && this.#prefixes.has(text)
  }
}

class ServerName implements Condition {
  readonly #match: StringMatch

  constructor(match: StringMatch) {
    this.#match = match
  }

  matches(c: Connection): boolean {
    return this.#match.matches(c.requestedServerName)
  }
}

/** URI SANs, then DNS SANs, then the subject of the peer's certificate. */
class Authenticated implements Condition {
  readonly #match: StringMatch | null

  constructor(match: StringMatch | null) {
    this.#match = match
  }

  matches(c: Connection): boolean {
    const { tls } = c
    if (tls === null) return false
    const match = this.#match
    if (match === null) return true
    const { peerUriSans, peerDnsSans } = tls
    for (let i = 0; i < peerUriSans.length; i++) if (match.matches(peerUriSans[i]!)) return true
    for (let i = 0; i < peerDnsSans.length; i++) if (match.matches(peerDnsSans[i]!)) return true
    return match.matches(tls.peerSubject)
  }
}

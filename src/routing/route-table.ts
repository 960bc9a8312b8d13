import { PackedList } from '../base/packed-values.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { internName } from '../codec/header-block.ts'
import { asciiLower } from '../config/matcher.ts'
import type { Runtime } from '../config/services.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { Mismatch } from './match.ts'
import type { Route, RouteTable } from './route.ts'
import type { RouteConfig, VirtualHostConfig } from './route-config.ts'
import { VirtualHostTable } from './virtual-host.ts'

/** What routes need of a worker. */
export interface RouteServices {
  readonly runtime: Runtime
}

/** Materialises a route configuration on a worker. Virtual hosts are compiled when a request first needs them. */
export function createRouteTable(config: RouteConfig, services: RouteServices): RouteTableImpl {
  return new RouteTableImpl(config, services)
}

/** One line of a route trace: a route that was asked and why it was passed over. */
export interface RouteTraceEntry {
  readonly virtualHost: string
  readonly routeIndex: number
  readonly routeName: string
  readonly mismatch: Mismatch
}

/** What `trace` gathers: how the virtual host was found and every route asked until one matched. */
export interface RouteTrace {
  /** Domain that matched; '' when none did. */
  domain: string
  readonly entries: RouteTraceEntry[]
}

/** Domains of source/common/router/config_impl.cc RouteMatcher: exact, longest suffix, longest prefix, `*`. */
export class RouteTableImpl implements RouteTable {
  readonly name: string
  readonly config: RouteConfig
  readonly maxDirectResponseBodySize: number
  readonly internalOnlyHeaders: readonly string[]
  readonly #ignorePort: boolean
  readonly #ignoreParameters: boolean
  readonly #vhostHeader: string
  readonly #exact = new Map<string, Slot>()
  readonly #suffixes: WildcardDomains
  readonly #prefixes: WildcardDomains
  #any: Slot | null = null
  /** The only virtual host is `*`: no need to look at the authority. */
  readonly #onlyAny: boolean

  constructor(config: RouteConfig, services: RouteServices) {
    this.name = config.name
    this.config = config
    this.maxDirectResponseBodySize = config.maxDirectResponseBodySize
    this.internalOnlyHeaders = config.internalOnlyHeaders.map(internName)
    this.#ignorePort = config.ignorePortInHostMatching
    this.#ignoreParameters = config.ignorePathParameters
    this.#vhostHeader = config.vhostHeader === '' ? '' : internName(config.vhostHeader)
    const suffixes = new Map<string, Slot>()
    const prefixes = new Map<string, Slot>()
    for (let i = 0; i < config.virtualHosts.length; i++) {
      const slot = new Slot(config, i, services)
      for (const domain of domainsOf(config, i)) {
        if (domain === '*') this.#any = slot
        else if (domain.startsWith('*')) suffixes.set(domain.slice(1), slot)
        else if (domain.endsWith('*')) prefixes.set(domain.slice(0, -1), slot)
        else this.#exact.set(domain, slot)
      }
    }
    this.#suffixes = new WildcardDomains(suffixes)
    this.#prefixes = new WildcardDomains(prefixes)
    this.#onlyAny = this.#any !== null && this.#exact.size === 0 && suffixes.size === 0 && prefixes.size === 0
  }

  route(h: HeaderBlock, info: StreamInfo, random: number): Route | null {
    const slot = this.#find(h)
    return slot === null ? null : slot.table().route(this.#path(h), h, info, random, null)
  }

  /** As `route`, and writes down what happened. Same predicates, same order. */
  trace(h: HeaderBlock, info: StreamInfo, random: number, out: RouteTrace): Route | null {
    const slot = this.#find(h)
    if (slot === null) return null
    out.domain = this.#domainOf(slot, h)
    return slot.table().route(this.#path(h), h, info, random, out.entries)
  }

  #find(h: HeaderBlock): Slot | null {
    if (this.#onlyAny) return this.#any
    const host = this.#host(h)
    // Envoy: neither a host nor the configured header means no virtual host at all.
    if (host === '') return null
    return this.#exact.get(host) ?? this.#suffixes.bySuffix(host) ?? this.#prefixes.byPrefix(host) ?? this.#any
  }

  #host(h: HeaderBlock): string {
    const raw = this.#vhostHeader === '' ? h.authority : (h.get(this.#vhostHeader) ?? '')
    return asciiLower(this.#ignorePort ? withoutPort(raw) : raw)
  }

  #domainOf(slot: Slot, h: HeaderBlock): string {
    const host = this.#onlyAny ? '' : this.#host(h)
    const domains = domainsOf(this.config, slot.index)
    if (domains.includes(host)) return host
    const fitting = domains.filter(
      d =>
        (d.startsWith('*') && d.length > 1 && host.length >= d.length && host.endsWith(d.slice(1))) ||
        (d.endsWith('*') && d.length > 1 && host.length >= d.length && host.startsWith(d.slice(0, -1))),
    )
    return fitting.sort((a, b) => b.length - a.length)[0] ?? '*'
  }

  /** The path routes are matched against: without query, and without `;parameters` when so configured. */
  #path(h: HeaderBlock): string {
    const path = h.path
    const mark = path.indexOf('?')
    const bare = mark < 0 ? path : path.slice(0, mark)
    // Each segment may carry parameters (RFC 3986 §3.3).
    return this.#ignoreParameters && bare.includes(';') ? bare.replace(/;[^/]*/g, '') : bare
  }
}

/** One of the virtual hosts, wherever they are. */
export function virtualHost({ virtualHosts }: RouteConfig, index: number): VirtualHostConfig {
  return virtualHosts instanceof PackedList ? virtualHosts.get(index) : virtualHosts[index]!
}

function domainsOf({ virtualHosts }: RouteConfig, index: number): readonly string[] {
  return virtualHosts instanceof PackedList ? virtualHosts.field(index, 'domains') : virtualHosts[index]!.domains
}

/** Removes what follows the last colon, port or not; an IPv6 literal without one stays. */
function withoutPort(host: string): string {
  const colon = host.lastIndexOf(':')
  return colon < 0 || host.indexOf(']', colon) >= 0 ? host : host.slice(0, colon)
}

/** A virtual host that is compiled on first use. */
class Slot {
  readonly index: number
  readonly #config: RouteConfig
  readonly #services: RouteServices
  #table: VirtualHostTable | null = null

  constructor(config: RouteConfig, index: number, services: RouteServices) {
    this.index = index
    this.#config = config
    this.#services = services
  }

  table(): VirtualHostTable {
    this.#table ??= new VirtualHostTable(this.#config, virtualHost(this.#config, this.index), this.#services)
    return this.#table
  }
}

/** Wildcard domains by the length of their fixed part, longest first: one map look-up per distinct length. */
class WildcardDomains {
  readonly #byText: ReadonlyMap<string, Slot>
  readonly #lengths: readonly number[]

  constructor(byText: ReadonlyMap<string, Slot>) {
    this.#byText = byText
    this.#lengths = [...new Set([...byText.keys()].map(text => text.length))].sort((a, b) => b - a)
  }

  bySuffix(host: string): Slot | null {
    for (let i = 0; i < this.#lengths.length; i++) {
      const length = this.#lengths[i]!
      // The wildcard stands for at least one character.
      if (length >= host.length) continue
      const slot = this.#byText.get(host.slice(host.length - length))
      if (slot !== undefined) return slot
    }
    return null
  }

  byPrefix(host: string): Slot | null {
    for (let i = 0; i < this.#lengths.length; i++) {
      const length = this.#lengths[i]!
      if (length >= host.length) continue
      const slot = this.#byText.get(host.slice(0, length))
      if (slot !== undefined) return slot
    }
    return null
  }
}

export { Mismatch }

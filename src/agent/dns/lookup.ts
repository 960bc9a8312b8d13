import type { NameInfo, NameTable } from './name-table.ts'
import { addressBytes, addressText, type DnsRecord, isWritableName, TYPE_A, TYPE_AAAA, TYPE_CNAME } from './wire.ts'

/** Low, since clients may honour it and addresses of services move. */
const TTL_SECONDS = 30

/** Where the pod is: which short names mean what. */
export interface DnsScope {
  readonly namespace: string
  /** Without the namespace: `svc.cluster.local`. */
  readonly domain: string
  /** resolv.conf, in its order. */
  readonly search: readonly string[]
}

interface HostAddresses {
  readonly v4: readonly Uint8Array[]
  readonly v6: readonly Uint8Array[]
}

/** A pod's domain as Istio uses it: `ns1.svc.cluster.local` in ns1 is `svc.cluster.local`. */
export function proxyDomain(nodeDomain: string, namespace: string): string {
  const parts = nodeDomain.split('.')
  return (parts[0] === namespace ? parts.slice(1) : parts).join('.')
}

/**
 * The table made ready for questions (istio pkg/dns/client): every name a service may be called by, and of each the form that a
 * resolver asks first, with the first search domain behind it, as an alias. So the long walk through the search domains ends with
 * the first question.
 */
export class LookupTable {
  readonly #hosts = new Map<string, HostAddresses>()
  readonly #aliases = new Map<string, string>()

  constructor(table: NameTable, scope: DnsScope) {
    const suffix = scope.search[0] ?? ''
    const last = suffix === '' || suffix.endsWith('.') ? suffix : `${suffix}.`
    for (const [host, info] of table) {
      const names = callNames(host, info, scope)
      const addresses = addressesOf(info)
      if (addresses.v4.length === 0 && addresses.v6.length === 0) continue
      for (const mixedCase of names) {
        const name = mixedCase.toLowerCase()
        if (!isWritableName(name)) continue
        this.#hosts.set(name, addresses)
        if (suffix === '' || name.endsWith(`${suffix}.`)) continue
        const expanded = (name + last).toLowerCase()
        if (!names.has(expanded) && isWritableName(expanded)) this.#aliases.set(expanded, name)
      }
    }
  }

  get size(): number {
    return this.#hosts.size + this.#aliases.size
  }

  /**
   * null: not a host of the mesh, or not a question about addresses: another server has to be asked. Empty: the host exists without
   * such a record, which is NOERROR and not NXDOMAIN (a client that asks for A and AAAA at once would take that for the whole).
   * `name` is absolute and in lower case.
   */
  find(type: number, name: string): DnsRecord[] | null {
    const found = this.#existing(name)
    if (found === null || (type !== TYPE_A && type !== TYPE_AAAA)) return null
    const target = this.#aliases.get(found)
    const host = this.#hosts.get(target ?? found)
    const ips = (type === TYPE_A ? host?.v4 : host?.v6) ?? []
    if (ips.length === 0) return []
    // Clients that do not follow an alias by themselves find its addresses in the same answer.
    const records: DnsRecord[] =
      target === undefined ? [] : [{ name, type: TYPE_CNAME, ttl: TTL_SECONDS, data: target }]
    const owner = target ?? name
    for (const data of ips) records.push({ name: owner, type, ttl: TTL_SECONDS, data })
    return records
  }

  /** The name itself, else the closest wildcard above it: `*.b.c.` before `*.c.`. */
  #existing(name: string): string | null {
    if (this.#has(name)) return name
    for (let dot = name.indexOf('.'); dot >= 0 && dot < name.length - 1; dot = name.indexOf('.', dot + 1)) {
      const wildcard = `*${name.slice(dot)}`
      if (this.#has(wildcard)) return wildcard
    }
    return null
  }

  #has(name: string): boolean {
    return this.#hosts.has(name) || this.#aliases.has(name)
  }
}

/** For people: the table with every name a host may be called by. */
export function withAlternates(table: NameTable, scope: DnsScope): NameTable {
  const all = new Map(table)
  for (const [host, info] of table) {
    const { v4, v6 } = addressesOf(info)
    if (v4.length === 0 && v6.length === 0) continue
    const ips = [...v4, ...v6].map(addressText)
    for (const name of callNames(host, info, scope)) {
      if (all.has(name)) continue
      all.set(name, { ips, registry: 'Kubernetes', shortname: '', namespace: '', altHosts: [] })
    }
  }
  return all
}

/**
 * `svc`, `svc.ns`, `svc.ns.svc` and the full name of a Kubernetes service; of one in another domain (another cluster) only its full
 * name, because two clusters may each have a `svc.ns`.
 */
function callNames(host: string, info: NameInfo, scope: DnsScope): ReadonlySet<string> {
  if (info.registry !== 'Kubernetes') return new Set([host.endsWith('.') ? host : `${host}.`])
  if (host.endsWith('.')) return new Set()
  const names = new Set([`${host}.`])
  if (scope.domain === '' || !host.endsWith(scope.domain)) return names
  const { shortname, namespace } = info
  names.add(`${shortname}.${namespace}.`)
  if (namespace === scope.namespace) names.add(`${shortname}.`)
  names.add(`${shortname}.${namespace}.${scope.domain.split('.')[0]}.`)
  for (const alternate of info.altHosts) names.add(`${alternate}.`)
  return names
}

function addressesOf(info: NameInfo): HostAddresses {
  const v4: Uint8Array[] = []
  const v6: Uint8Array[] = []
  for (const ip of info.ips) {
    const bytes = addressBytes(ip)
    if (bytes !== null) (bytes.length === 4 ? v4 : v6).push(bytes)
  }
  return { v4, v6 }
}

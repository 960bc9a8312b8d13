import type { Resolver } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { lazyDns } from '../../base/lazy-modules.ts'
import type { DnsConfig } from '../cluster-config.ts'
import type { DnsAnswer, DnsResolver } from './dns-target.ts'

/** Answers of this kind mean that the name does not exist or has no such record; everything else is a failure. */
const NO_SUCH_NAME = new Set(['ENOTFOUND', 'ENODATA', 'ENONAME'])

interface Record {
  readonly address: string
  readonly ttl: number
}

/**
 * c-ares (node:dns Resolver) with what it leaves out: /etc/hosts and the search list of resolv.conf, which Envoy's c-ares
 * does itself. One per set of resolver addresses.
 */
export class CaresResolver implements DnsResolver {
  private readonly resolver: Resolver
  private readonly search: boolean
  private readonly etcHosts: string
  private readonly resolvConf: string

  constructor(config: DnsConfig, etcHosts = '/etc/hosts', resolvConf = '/etc/resolv.conf') {
    this.resolver = new (lazyDns().Resolver)({
      ...(config.queryTimeout > 0 ? { timeout: config.queryTimeout } : { timeout: 5000 }),
      tries: config.queryTries > 0 ? config.queryTries : 4,
    })
    if (config.resolvers.length > 0) this.resolver.setServers(config.resolvers.slice())
    this.search = !config.noDefaultSearchDomain
    this.etcHosts = etcHosts
    this.resolvConf = resolvConf
  }

  resolve(name: string, family: DnsConfig['lookupFamily'], done: (answer: DnsAnswer | null) => void): void {
    this.find(name, family).then(done, () => done(null))
  }

  private async find(name: string, family: DnsConfig['lookupFamily']): Promise<DnsAnswer | null> {
    const local = readHosts(this.etcHosts, name, family)
    if (local.length > 0) return { ips: local, ttl: Number.POSITIVE_INFINITY }
    let failed = false
    for (const candidate of this.candidates(name)) {
      const answer = await this.ask(candidate, family)
      if (answer === null) failed = true
      else if (answer.ips.length > 0) return answer
    }
    return failed ? null : { ips: [], ttl: 0 }
  }

  /** resolv.conf(5): names with at least `ndots` dots are tried as they are first, others last. */
  private candidates(name: string): string[] {
    if (name.endsWith('.') || !this.search) return [name]
    const { domains, ndots } = readResolvConf(this.resolvConf)
    const searched = domains.map(d => `${name}.${d}`)
    return name.split('.').length - 1 >= ndots ? [name, ...searched] : [...searched, name]
  }

  private async ask(name: string, family: DnsConfig['lookupFamily']): Promise<DnsAnswer | null> {
    const wantsV4 = family !== 'V6_ONLY'
    const wantsV6 = family !== 'V4_ONLY'
    const [v4, v6] = await Promise.all([wantsV4 ? this.records(name, 4) : [], wantsV6 ? this.records(name, 6) : []])
    if (v4 === null && v6 === null) return null
    const chosen = choose(v4 ?? [], v6 ?? [], family)
    if (chosen.length === 0 && (v4 === null || v6 === null)) return null
    return { ips: chosen.map(r => r.address), ttl: Math.min(...chosen.map(r => r.ttl)) * 1000 }
  }

  private async records(name: string, version: 4 | 6): Promise<readonly Record[] | null> {
    try {
      return version === 4
        ? await this.resolver.resolve4(name, { ttl: true })
        : await this.resolver.resolve6(name, { ttl: true })
    } catch (error) {
      return NO_SUCH_NAME.has((error as NodeJS.ErrnoException).code ?? '') ? [] : null
    }
  }
}

/** AUTO prefers IPv6, V4_PREFERRED IPv4, ALL takes both (IPv6 first). */
function choose(v4: readonly Record[], v6: readonly Record[], family: DnsConfig['lookupFamily']): readonly Record[] {
  switch (family) {
    case 'V4_ONLY':
      return v4
    case 'V6_ONLY':
      return v6
    case 'V4_PREFERRED':
      return v4.length > 0 ? v4 : v6
    case 'ALL':
      return [...v6, ...v4]
    case 'AUTO':
      return v6.length > 0 ? v6 : v4
  }
}

function readHosts(path: string, name: string, family: DnsConfig['lookupFamily']): string[] {
  const v4: Record[] = []
  const v6: Record[] = []
  const wanted = name.toLowerCase().replace(/\.$/, '')
  for (const line of readLines(path)) {
    const [ip, ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (ip === undefined || !names.some(n => n.toLowerCase() === wanted)) continue
    const version = isIP(ip)
    if (version !== 0) (version === 4 ? v4 : v6).push({ address: ip, ttl: 0 })
  }
  return choose(v4, v6, family).map(r => r.address)
}

function readResolvConf(path: string): { domains: string[]; ndots: number } {
  let domains: string[] = []
  let ndots = 1
  for (const line of readLines(path)) {
    const words = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (words[0] === 'search') domains = words.slice(1, 33)
    else if (words[0] === 'domain' && words[1] !== undefined) domains = [words[1]]
    else if (words[0] === 'options') {
      const option = words.find(w => w.startsWith('ndots:'))
      if (option !== undefined) ndots = Math.min(15, Number(option.slice(6)) || 0)
    }
  }
  return { domains: domains.filter(d => d !== '.'), ndots }
}

/** Read for each look-up: both files change under a running pod, and refreshes are seconds apart. */
function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'latin1').split('\n')
  } catch {
    return []
  }
}

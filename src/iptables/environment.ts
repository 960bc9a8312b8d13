import { readFileSync } from 'node:fs'
import { isIPv4, isIPv6 } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import { DEFAULT_CONFIG, type IptablesConfig, IptablesConfigError } from './config.ts'

/** What this machine adds to the configuration: pod IP family, resolvers, the proxy's uid. */
export interface Environment {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]>
  readonly readFile: (path: string) => string
}

export const REAL_ENVIRONMENT: Environment = {
  env: process.env,
  interfaces: networkInterfaces,
  readFile: path => readFileSync(path, 'utf8'),
}

/** Throws IptablesConfigError when no address or no resolver can be read. */
export function fillFromEnvironment(config: IptablesConfig, from: Environment): IptablesConfig {
  const uid = config.proxyUid === '' ? proxyUser(from) : config.proxyUid
  const dns = config.redirectDns && !config.captureAllDns ? nameservers(from) : []
  return {
    ...config,
    ownerGroupsInclude: from.env.ISTIO_OUTBOUND_OWNER_GROUPS ?? DEFAULT_CONFIG.ownerGroupsInclude,
    ownerGroupsExclude: from.env.ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE ?? DEFAULT_CONFIG.ownerGroupsExclude,
    hostIpv4LoopbackCidr: from.env.ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR ?? DEFAULT_CONFIG.hostIpv4LoopbackCidr,
    proxyUid: uid,
    proxyGid: config.proxyGid === '' ? uid : config.proxyGid,
    enableIpv6: hasIpv6(config.dualStack, from),
    dnsServersV4: dns.filter(server => isIPv4(server)),
    dnsServersV6: dns.filter(server => isIPv6(server)),
  }
}

function proxyUser(from: Environment): string {
  const user = from.env.ENVOY_USER ?? 'istio-proxy'
  try {
    for (const line of from.readFile('/etc/passwd').split('\n')) {
      const fields = line.split(':')
      if (fields[0] === user && fields[2] !== undefined) return fields[2]
    }
  } catch {
    // No passwd file in the image: the injected uid is 1337 all the same.
  }
  return '1337'
}

/** The first address of the pod that is neither loopback nor link-local. Throws IptablesConfigError without one. */
export function localAddress(from: Environment): string {
  return globalAddresses(from)[0]?.address as string
}

/** Istio's rule: the first address decides; with dual stack, any IPv6 one. */
function hasIpv6(dualStack: boolean, from: Environment): boolean {
  const addresses = globalAddresses(from)
  return (dualStack ? addresses : addresses.slice(0, 1)).some(({ family }) => family === 'IPv6')
}

function globalAddresses(from: Environment): NetworkInterfaceInfo[] {
  const found: NetworkInterfaceInfo[] = []
  for (const addresses of Object.values(from.interfaces())) {
    for (const info of addresses ?? []) {
      if (!isLinkLocal(info.address) && !isLoopback(info.address)) found.push(info)
    }
  }
  if (found.length === 0) {
    throw new IptablesConfigError('no valid local IP address found: is an interface other than lo up?')
  }
  // Netlink lists IPv4 addresses first, and that order is what Istio's "first" means.
  return found.sort((a, b) => Number(a.family === 'IPv6') - Number(b.family === 'IPv6'))
}

function isLinkLocal(address: string): boolean {
  return address.startsWith('169.254.') || /^fe[89ab]/i.test(address)
}

function isLoopback(address: string): boolean {
  // ::6 is what an earlier run put on lo.
  return address.startsWith('127.') || address === '::1' || address === '::6'
}

function nameservers(from: Environment): string[] {
  let text: string
  try {
    text = from.readFile('/etc/resolv.conf')
  } catch (error) {
    throw new IptablesConfigError(`failed to load /etc/resolv.conf: ${(error as Error).message}`)
  }
  const servers: string[] = []
  for (const line of text.split('\n')) {
    const [keyword, server] = line.trim().split(/\s+/)
    if (keyword === 'nameserver' && server !== undefined) servers.push(server)
  }
  return servers
}

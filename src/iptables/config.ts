import { isIP, isIPv4, isIPv6 } from 'node:net'

/** What istio-iptables was asked for. Lists are comma-separated strings, as they arrive from flags and annotations. */
export interface IptablesConfig {
  readonly proxyPort: string
  readonly inboundCapturePort: string
  readonly inboundTunnelPort: string
  readonly proxyUid: string
  readonly proxyGid: string
  /** `REDIRECT`, `TPROXY` or empty (REDIRECT). */
  readonly inboundInterceptionMode: string
  readonly inboundTproxyMark: string
  readonly inboundTproxyRouteTable: string
  /** `*`, a list of ports, or empty: nothing inbound is captured. */
  readonly inboundPortsInclude: string
  readonly inboundPortsExclude: string
  readonly ownerGroupsInclude: string
  readonly ownerGroupsExclude: string
  readonly outboundPortsInclude: string
  readonly outboundPortsExclude: string
  readonly outboundIpRangesInclude: string
  readonly outboundIpRangesExclude: string
  readonly rerouteVirtualInterfaces: string
  readonly excludeInterfaces: string
  readonly redirectDns: boolean
  readonly captureAllDns: boolean
  readonly dnsServersV4: readonly string[]
  readonly dnsServersV6: readonly string[]
  readonly dropInvalid: boolean
  readonly dualStack: boolean
  readonly enableIpv6: boolean
  readonly hostIpv4LoopbackCidr: string
  readonly dryRun: boolean
  readonly skipRuleApply: boolean
  readonly reconcile: boolean
  readonly cleanupOnly: boolean
  readonly forceApply: boolean
  /** `legacy`, `nft` or empty: detect. */
  readonly forceIptablesBinary: string
  /** Rules are made by `nft` and not by iptables. */
  readonly nativeNftables: boolean
  /** Path of the namespace to work in, empty for this process's own. */
  readonly networkNamespace: string
  /** The files are the node's and only the network is the pod's. */
  readonly cniMode: boolean
}

export const DEFAULT_CONFIG: IptablesConfig = {
  proxyPort: '15001',
  inboundCapturePort: '15006',
  inboundTunnelPort: '15008',
  proxyUid: '1337',
  proxyGid: '1337',
  inboundInterceptionMode: '',
  inboundTproxyMark: '1337',
  inboundTproxyRouteTable: '133',
  inboundPortsInclude: '',
  inboundPortsExclude: '',
  ownerGroupsInclude: '*',
  ownerGroupsExclude: '',
  outboundPortsInclude: '',
  outboundPortsExclude: '',
  outboundIpRangesInclude: '',
  outboundIpRangesExclude: '',
  rerouteVirtualInterfaces: '',
  excludeInterfaces: '',
  redirectDns: false,
  captureAllDns: false,
  dnsServersV4: [],
  dnsServersV6: [],
  dropInvalid: false,
  dualStack: false,
  enableIpv6: false,
  hostIpv4LoopbackCidr: '127.0.0.1/32',
  dryRun: false,
  skipRuleApply: false,
  reconcile: false,
  cleanupOnly: false,
  forceApply: false,
  forceIptablesBinary: '',
  nativeNftables: false,
  networkNamespace: '',
  cniMode: false,
}

/** A value no rule can be made of. The message names the flag as users know it. */
export class IptablesConfigError extends Error {
  override readonly name = 'IptablesConfigError'
}

/** Comma-separated, empty items dropped. */
export function split(list: string): string[] {
  return list.split(',').filter(item => item !== '')
}

/** Addresses a list of CIDRs stands for, in one IP family. */
export interface NetworkRange {
  readonly wildcard: boolean
  readonly cidrs: readonly string[]
  readonly hasLoopback: boolean
}

/** Throws IptablesConfigError for an item that is not `address/prefix-length`. */
export function separateFamilies(flag: string, list: string): { v4: NetworkRange; v6: NetworkRange } {
  if (list === '*') {
    const all = { wildcard: true, cidrs: [], hasLoopback: false }
    return { v4: all, v6: all }
  }
  const v4: string[] = []
  const v6: string[] = []
  let loopback4 = false
  let loopback6 = false
  for (const item of split(list)) {
    const { address, bits } = parseCidr(flag, item)
    if (isIPv4(address)) {
      v4.push(`${address}/${bits}`)
      loopback4 ||= address.startsWith('127.')
    } else {
      const canonical = canonicalIpv6(address)
      v6.push(`${canonical}/${bits}`)
      loopback6 ||= canonical === '::1'
    }
  }
  return {
    v4: { wildcard: false, cidrs: v4, hasLoopback: loopback4 },
    v6: { wildcard: false, cidrs: v6, hasLoopback: loopback6 },
  }
}

/**
 * Everything that reaches a rule is checked here: the values become lines of iptables-restore input, so a space or
 * newline in an annotation would otherwise become a rule of the annotation's author.
 */
export function validate(config: IptablesConfig): void {
  port('-p/--envoy-port', config.proxyPort)
  port('-z/--inbound-capture-port', config.inboundCapturePort)
  port('-e/--inbound-tunnel-port', config.inboundTunnelPort)
  number('-t/--istio-inbound-tproxy-mark', config.inboundTproxyMark)
  number('-r/--istio-inbound-tproxy-route-table', config.inboundTproxyRouteTable)
  ids('-u/--proxy-uid', config.proxyUid)
  ids('-g/--proxy-gid', config.proxyGid)
  if (config.inboundPortsInclude !== '*') ports('-b/--istio-inbound-ports', config.inboundPortsInclude)
  ports('-d/--istio-local-exclude-ports', config.inboundPortsExclude)
  ports('-q/--istio-outbound-ports', config.outboundPortsInclude)
  ports('-o/--istio-local-outbound-ports-exclude', config.outboundPortsExclude)
  interfaces('-k/--kube-virt-interfaces', config.rerouteVirtualInterfaces)
  interfaces('-c/--istio-exclude-interfaces', config.excludeInterfaces)
  if (!['', 'REDIRECT', 'TPROXY'].includes(config.inboundInterceptionMode)) {
    // Istio treats any other word as REDIRECT; a typing error must not silently choose how traffic is captured.
    throw new IptablesConfigError(
      `-m/--istio-inbound-interception-mode=${config.inboundInterceptionMode}: use REDIRECT or TPROXY`,
    )
  }
  separateFamilies('-i/--istio-service-cidr', config.outboundIpRangesInclude)
  if (separateFamilies('-x/--istio-service-exclude-cidr', config.outboundIpRangesExclude).v4.wildcard) {
    throw new IptablesConfigError(
      '-x/--istio-service-exclude-cidr=*: exclude ranges, or leave -i empty to capture none',
    )
  }
  ownerGroups(config)
  const loopback = parseCidr('ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR', config.hostIpv4LoopbackCidr)
  if (!isIPv4(loopback.address) || !loopback.address.startsWith('127.') || loopback.bits < 8) {
    throw new IptablesConfigError(
      `ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=${config.hostIpv4LoopbackCidr}: expected an IPv4 loopback range with a mask in [8, 32]`,
    )
  }
  for (const server of [...config.dnsServersV4, ...config.dnsServersV6]) {
    if (isIP(server) === 0) throw new IptablesConfigError(`DNS server "${server}" is not an IP address`)
  }
  if (!['', 'legacy', 'nft'].includes(config.forceIptablesBinary)) {
    throw new IptablesConfigError(`--force-iptables-binary=${config.forceIptablesBinary}: use legacy or nft`)
  }
}

// All included groups become one rule with one `-m owner` each; kernels take 128 matches per rule at the least.
const MAX_OWNER_GROUPS = 64

function ownerGroups(config: IptablesConfig): void {
  if (config.ownerGroupsInclude !== '*') {
    const included = split(config.ownerGroupsInclude)
    if (included.length > MAX_OWNER_GROUPS) {
      throw new IptablesConfigError(
        `ISTIO_OUTBOUND_OWNER_GROUPS: number of owner groups cannot exceed ${MAX_OWNER_GROUPS}, got ${included.length}`,
      )
    }
    each('ISTIO_OUTBOUND_OWNER_GROUPS', config.ownerGroupsInclude, /^[A-Za-z0-9_.@$-]{1,64}$/, 'a group name or GID')
  }
  each(
    'ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE',
    config.ownerGroupsExclude,
    /^[A-Za-z0-9_.@$-]{1,64}$/,
    'a group name or GID',
  )
}

function port(flag: string, value: string): void {
  if (!/^[0-9]{1,5}$/.test(value) || Number(value) === 0 || Number(value) > 65535) {
    throw new IptablesConfigError(`${flag}=${value}: expected a port between 1 and 65535`)
  }
}

function ports(flag: string, list: string): void {
  for (const item of split(list)) {
    // iptables itself takes ranges, and users of excludeInboundPorts rely on it.
    for (const end of item.split(':', 2)) port(flag, end)
  }
}

function number(flag: string, value: string): void {
  if (!/^[0-9]{1,10}$/.test(value)) throw new IptablesConfigError(`${flag}=${value}: expected a number`)
}

function ids(flag: string, list: string): void {
  each(flag, list, /^[0-9]{1,10}$/, 'a numeric id')
}

function interfaces(flag: string, list: string): void {
  each(flag, list, /^[^\s/-][^\s/]{0,14}$/, 'an interface name')
}

function each(flag: string, list: string, pattern: RegExp, what: string): void {
  for (const item of split(list)) {
    if (!pattern.test(item)) throw new IptablesConfigError(`${flag}: "${item}" is not ${what}`)
  }
}

function parseCidr(flag: string, text: string): { address: string; bits: number } {
  const slash = text.indexOf('/')
  const address = text.slice(0, slash)
  const bitsText = text.slice(slash + 1)
  const family = slash < 0 ? 0 : isIP(address)
  const bits = Number(bitsText)
  if (family === 0 || !/^[0-9]{1,3}$/.test(bitsText) || bits > (family === 4 ? 32 : 128) || address.includes('%')) {
    throw new IptablesConfigError(`${flag}: "${text}" is not a CIDR such as 10.0.0.0/8 or 2001:db8::/32`)
  }
  return { address, bits }
}

function canonicalIpv6(address: string): string {
  // WHATWG URL serialisation is RFC 5952, as Go's netip prints.
  return isIPv6(address) ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address
}

import { type IptablesConfig, IptablesConfigError, type NetworkRange, separateFamilies, split } from './config.ts'
import { redirectsDns } from './rules.ts'

/** One rule of an inet table; with `index` it is inserted before the rule that has this position. */
export interface NftRule {
  readonly table: NftTable
  readonly chain: string
  /** nft's language, without the verb. */
  readonly text: string
  readonly index: number | undefined
}

export type NftTable = 'istio-proxy-nat' | 'istio-proxy-mangle' | 'istio-proxy-raw'

const NAT = 'istio-proxy-nat'
const MANGLE = 'istio-proxy-mangle'
const RAW = 'istio-proxy-raw'

const INBOUND = 'istio-inbound'
const IN_REDIRECT = 'istio-in-redirect'
const REDIRECT = 'istio-redirect'
const OUTPUT = 'istio-output'
const OUTPUT_DNS = 'istio-output-dns'
const DIVERT = 'istio-divert'
const TPROXY = 'istio-tproxy'
const DROP = 'istio-drop'
const DNS_PORT = '15053'
/** TPROXY: marks packets from the proxy's outbound side to its own pod, so that the inbound side takes them. */
const OUTBOUND_MARK = '1338'
const TCP = 'meta l4proto tcp'

/**
 * The rules of `buildRules` in nft's language, in Istio's order (tools/istio-nftables/pkg/capture/run.go, istio
 * 86c9f01). Inet tables hold both families, so IPv6 adds rules instead of a second set. Pure. `config` must have
 * passed `validate`; throws IptablesConfigError for names that are valid for iptables and mean something else to nft.
 */
export function buildNftRules(config: IptablesConfig): NftRule[] {
  const build = new NftBuilder(config)
  const include = separateFamilies('-i', config.outboundIpRangesInclude)
  const exclude = separateFamilies('-x', config.outboundIpRangesExclude)
  const dns = redirectsDns(config)
  const tproxy = config.inboundInterceptionMode === 'TPROXY'

  excludeInterfaces(build, config, tproxy)
  for (const name of interfaces(config.rerouteVirtualInterfaces)) {
    build.insert(NAT, 'prerouting', 0, `iifname ${name} counter return`)
  }
  if (config.dropInvalid) {
    build.append(MANGLE, 'prerouting', `${TCP} ct state invalid counter jump ${DROP}`)
    build.append(MANGLE, DROP, 'counter drop')
  }
  build.append(NAT, INBOUND, `${TCP} tcp dport ${config.inboundTunnelPort} counter return`)
  build.append(NAT, REDIRECT, `${TCP} counter redirect to :${config.proxyPort}`)
  build.append(NAT, IN_REDIRECT, `${TCP} counter redirect to :${config.inboundCapturePort}`)
  captureInbound(build, config, tproxy)

  build.append(NAT, 'output', `counter jump ${OUTPUT}`)
  for (const port of ports(config.outboundPortsExclude)) {
    build.append(NAT, OUTPUT, `tcp dport ${port} counter return`)
    build.append(NAT, OUTPUT, `udp dport ${port} counter return`)
  }
  build.append(NAT, OUTPUT, 'oifname lo ip saddr 127.0.0.6/32 counter return')
  build.append6(NAT, OUTPUT, 'oifname lo ip6 saddr ::6/128 counter return')
  selfCalls(build, config, dns, include.v4.hasLoopback || include.v6.hasLoopback)
  ownerGroups(build, config)
  if (dns) redirectDns(build, config)

  build.append(NAT, OUTPUT, `ip daddr ${config.hostIpv4LoopbackCidr} counter return`)
  build.append6(NAT, OUTPUT, 'ip6 daddr ::1/128 counter return')
  for (const cidr of exclude.v4.cidrs) build.append(NAT, OUTPUT, `ip daddr ${cidr} counter return`)
  for (const cidr of exclude.v6.cidrs) build.append6(NAT, OUTPUT, `ip6 daddr ${cidr} counter return`)
  for (const port of ports(config.outboundPortsInclude)) {
    build.append(NAT, OUTPUT, `tcp dport ${port} counter jump ${REDIRECT}`)
  }
  captureOutbound(build, config, include.v4, include.v6)
  if (tproxy) markConnections(build, config)
  return build.rules
}

class NftBuilder {
  readonly rules: NftRule[] = []
  readonly #ipv6: boolean

  constructor(config: IptablesConfig) {
    this.#ipv6 = config.enableIpv6
  }

  append(table: NftTable, chain: string, text: string): void {
    this.rules.push({ table, chain, text, index: undefined })
  }

  append6(table: NftTable, chain: string, text: string): void {
    if (this.#ipv6) this.append(table, chain, text)
  }

  insert(table: NftTable, chain: string, index: number, text: string): void {
    this.rules.push({ table, chain, text, index })
  }

  insert6(table: NftTable, chain: string, index: number, text: string): void {
    if (this.#ipv6) this.insert(table, chain, index, text)
  }
}

function excludeInterfaces(build: NftBuilder, config: IptablesConfig, tproxy: boolean): void {
  for (const table of tproxy ? ([NAT, MANGLE] as const) : ([NAT] as const)) {
    for (const name of interfaces(config.excludeInterfaces)) {
      build.append(table, 'prerouting', `iifname ${name} counter return`)
      build.append(table, 'output', `oifname ${name} counter return`)
    }
  }
}

function captureInbound(build: NftBuilder, config: IptablesConfig, tproxy: boolean): void {
  if (config.inboundPortsInclude === '') return
  const table = tproxy ? MANGLE : NAT
  const mark = config.inboundTproxyMark
  if (tproxy) {
    const deliver = (family: string): string =>
      `tproxy ${family} to :${config.inboundCapturePort} meta mark set ${mark} counter accept`
    build.append(MANGLE, DIVERT, `counter meta mark set ${mark}`)
    build.append(MANGLE, DIVERT, 'counter accept')
    build.append(MANGLE, TPROXY, `${TCP} ip daddr != ${config.hostIpv4LoopbackCidr} ${deliver('ip')}`)
    build.append6(MANGLE, TPROXY, `${TCP} ip6 daddr != ::1/128 ${deliver('ip6')}`)
  }
  build.append(table, 'prerouting', `${TCP} counter jump ${INBOUND}`)
  const all = config.inboundPortsInclude === '*'
  if (all) {
    for (const port of ports(config.inboundPortsExclude)) {
      build.append(table, INBOUND, `${TCP} tcp dport ${port} counter return`)
    }
  }
  for (const match of all ? [''] : ports(config.inboundPortsInclude).map(port => ` tcp dport ${port}`)) {
    if (tproxy) {
      build.append(MANGLE, INBOUND, `${TCP} ct state related,established${match} counter jump ${DIVERT}`)
      build.append(MANGLE, INBOUND, `${TCP}${match} counter jump ${TPROXY}`)
    } else {
      build.append(NAT, INBOUND, `${TCP}${match} counter jump ${IN_REDIRECT}`)
    }
  }
}

/** Same cases as the function of this name in rules.ts, whose comments apply. */
function selfCalls(build: NftBuilder, config: IptablesConfig, dns: boolean, loopbackIncluded: boolean): void {
  for (const [owner, id] of owners(config)) {
    const tunnel = config.inboundTunnelPort
    const except = dns && owner === 'skuid' ? `{ 53, ${tunnel} }` : tunnel
    const rest = `tcp dport != ${except} ${owner} ${id} counter jump ${IN_REDIRECT}`
    build.append(NAT, OUTPUT, `oifname lo ${TCP} ip daddr != ${config.hostIpv4LoopbackCidr} ${rest}`)
    build.append6(NAT, OUTPUT, `oifname lo ${TCP} ip6 daddr != ::1/128 ${rest}`)
    if (!loopbackIncluded) {
      const match = dns ? `oifname lo ${TCP} tcp dport != 53` : 'oifname lo'
      build.append(NAT, OUTPUT, `${match} ${owner} != ${id} counter return`)
    }
    build.append(NAT, OUTPUT, `${owner} ${id} counter return`)
  }
}

function ownerGroups(build: NftBuilder, config: IptablesConfig): void {
  if (config.ownerGroupsInclude === '*') {
    for (const group of groups(config.ownerGroupsExclude)) {
      build.append(NAT, OUTPUT, `skgid ${group} counter return`)
    }
    return
  }
  const noneOf = groups(config.ownerGroupsInclude).map(group => `skgid != ${group} `)
  build.append(NAT, OUTPUT, `${noneOf.join('')}counter return`)
}

function captureOutbound(build: NftBuilder, config: IptablesConfig, v4: NetworkRange, v6: NetworkRange): void {
  const virtual = interfaces(config.rerouteVirtualInterfaces)
  const redirect = `counter jump ${REDIRECT}`
  if (v4.wildcard) {
    build.append(NAT, OUTPUT, redirect)
    for (const name of virtual) build.insert(NAT, 'prerouting', 0, `iifname ${name} ${redirect}`)
    return
  }
  for (const cidr of v4.cidrs) {
    for (const name of virtual) build.insert(NAT, 'prerouting', 0, `iifname ${name} ip daddr ${cidr} ${redirect}`)
    build.append(NAT, OUTPUT, `ip daddr ${cidr} ${redirect}`)
  }
  for (const cidr of v6.cidrs) {
    for (const name of virtual) build.insert6(NAT, 'prerouting', 0, `iifname ${name} ip6 daddr ${cidr} ${redirect}`)
    build.append6(NAT, OUTPUT, `ip6 daddr ${cidr} ${redirect}`)
  }
}

function redirectDns(build: NftBuilder, config: IptablesConfig): void {
  const all = config.captureAllDns
  build.append(RAW, 'output', `counter jump ${OUTPUT_DNS}`)
  build.append(NAT, OUTPUT, `counter jump ${OUTPUT_DNS}`)
  for (const protocol of ['tcp', 'udp']) {
    const target = `${protocol} dport 53 counter redirect to :${DNS_PORT}`
    if (all) {
      build.append(NAT, OUTPUT_DNS, protocol === 'tcp' ? `${TCP} ${target}` : target)
      continue
    }
    for (const ip of config.dnsServersV4) build.append(NAT, OUTPUT_DNS, `ip daddr ${ip}/32 ${target}`)
    for (const ip of config.dnsServersV6) build.append6(NAT, OUTPUT_DNS, `ip6 daddr ${ip}/128 ${target}`)
  }
  splitConntrackZones(build, config)
}

/** Agent ↔ resolver is zone 1, application ↔ agent is zone 2: one UDP flow must not race the other in conntrack. */
function splitConntrackZones(build: NftBuilder, config: IptablesConfig): void {
  for (const [owner, id] of owners(config)) {
    build.append(RAW, OUTPUT_DNS, `udp dport 53 meta ${owner} ${id} counter ct zone set 1`)
    build.append(RAW, OUTPUT_DNS, `udp sport ${DNS_PORT} meta ${owner} ${id} counter ct zone set 2`)
  }
  build.append(RAW, 'prerouting', `counter jump ${INBOUND}`)
  if (config.captureAllDns) {
    build.append(RAW, OUTPUT_DNS, 'udp dport 53 counter ct zone set 2')
    build.append(RAW, INBOUND, 'udp sport 53 counter ct zone set 1')
    return
  }
  for (const ip of config.dnsServersV4) {
    build.append(RAW, OUTPUT_DNS, `udp dport 53 ip daddr ${ip}/32 counter ct zone set 2`)
    build.append(RAW, INBOUND, `udp sport 53 ip saddr ${ip}/32 counter ct zone set 1`)
  }
  for (const ip of config.dnsServersV6) {
    build.append6(RAW, OUTPUT_DNS, `udp dport 53 ip6 daddr ${ip}/128 counter ct zone set 2`)
    build.append6(RAW, INBOUND, `udp sport 53 ip6 saddr ${ip}/128 counter ct zone set 1`)
  }
}

/** TPROXY keeps the client's address, so marks and not addresses tell proxy traffic from application traffic. */
function markConnections(build: NftBuilder, config: IptablesConfig): void {
  const mark = config.inboundTproxyMark
  build.append(MANGLE, 'prerouting', `${TCP} mark ${mark} counter ct mark set mark`)
  build.append(MANGLE, 'output', `oifname lo ${TCP} mark ${mark} counter return`)
  for (const [owner, id] of owners(config)) {
    const set = `${owner} ${id} counter meta mark set ${OUTBOUND_MARK}`
    build.append(MANGLE, 'output', `oifname lo ${TCP} ip daddr != ${config.hostIpv4LoopbackCidr} ${set}`)
    build.append6(MANGLE, 'output', `oifname lo ${TCP} ip6 daddr != ::1/128 ${set}`)
  }
  build.append(MANGLE, 'output', `${TCP} ct mark ${mark} counter meta mark set ct mark`)
  build.insert(MANGLE, INBOUND, 0, `${TCP} mark ${mark} counter return`)
  build.insert(MANGLE, INBOUND, 1, `iifname lo ${TCP} ip saddr 127.0.0.6/32 counter return`)
  build.insert6(MANGLE, INBOUND, 1, `iifname lo ${TCP} ip6 saddr ::6/128 counter return`)
  build.insert(MANGLE, INBOUND, 2, `iifname lo ${TCP} mark != ${OUTBOUND_MARK} counter return`)
}

function owners(config: IptablesConfig): (readonly ['skuid' | 'skgid', string])[] {
  return [
    ...split(config.proxyUid).map(uid => ['skuid', uid] as const),
    ...split(config.proxyGid).map(gid => ['skgid', gid] as const),
  ]
}

/** iptables writes a range with a colon, and the annotations are written for it. */
function ports(list: string): string[] {
  return split(list).map(port => port.replace(':', '-'))
}

/** Quoted unless it cannot be a word of nft's language; iptables' trailing `+` is nft's `*`. */
function interfaces(list: string): string[] {
  return split(list).map(name => {
    if (/["\\*]/.test(name))
      throw new IptablesConfigError(`interface name "${name}" cannot be written in nft's language`)
    const pattern = name.replace(/\+$/, '*')
    return /^[A-Za-z][\w.]*[\d-][\w.-]*$/.test(pattern) && pattern !== 'ip6' ? pattern : `"${pattern}"`
  })
}

function groups(list: string): string[] {
  for (const group of split(list)) {
    // `@x` is a set and `$x` a variable there.
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(group)) {
      throw new IptablesConfigError(`owner group "${group}" cannot be written in nft's language: use its GID`)
    }
  }
  return split(list)
}

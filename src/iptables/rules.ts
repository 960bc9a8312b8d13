import { type IptablesConfig, type NetworkRange, separateFamilies, split } from './config.ts'

/** One rule: `spec` begins with `-A CHAIN` or `-I CHAIN POSITION`. */
export interface Rule {
  readonly table: string
  readonly chain: string
  readonly spec: readonly string[]
}

export interface RuleSet {
  readonly v4: readonly Rule[]
  /** Empty unless IPv6 is enabled. */
  readonly v6: readonly Rule[]
}

const INBOUND = 'ISTIO_INBOUND'
const IN_REDIRECT = 'ISTIO_IN_REDIRECT'
const REDIRECT = 'ISTIO_REDIRECT'
const OUTPUT = 'ISTIO_OUTPUT'
const OUTPUT_DNS = 'ISTIO_OUTPUT_DNS'
const DIVERT = 'ISTIO_DIVERT'
const TPROXY = 'ISTIO_TPROXY'
const DROP = 'ISTIO_DROP'
const DNS_PORT = '15053'
/** TPROXY: marks packets from the proxy's outbound side to its own pod, so that the inbound side takes them. */
const OUTBOUND_MARK = '1338'

/**
 * Rules that make a pod's TCP traffic pass the proxy, in Istio's order (tools/istio-iptables/pkg/capture/run.go,
 * istio 86c9f01): the order is the contract, tools diff the output. Pure. `config` must have passed `validate`.
 */
export function buildRules(config: IptablesConfig): RuleSet {
  const build = new Builder(config)
  const include = separateFamilies('-i', config.outboundIpRangesInclude)
  const exclude = separateFamilies('-x', config.outboundIpRangesExclude)
  const dns = redirectsDns(config)
  const tproxy = config.inboundInterceptionMode === 'TPROXY'

  excludeInterfaces(build, config, tproxy)
  for (const name of split(config.rerouteVirtualInterfaces)) {
    build.insert('nat', 'PREROUTING', 1, `-i ${name} -j RETURN`)
  }
  if (config.dropInvalid) {
    // Dropping out-of-window packets keeps them from resetting a connection that conntrack lost sight of.
    build.append('mangle', 'PREROUTING', `-m conntrack --ctstate INVALID -j ${DROP}`)
    build.append('mangle', DROP, '-j DROP')
  }
  build.append('nat', INBOUND, `-p tcp --dport ${config.inboundTunnelPort} -j RETURN`)
  build.append('nat', REDIRECT, `-p tcp -j REDIRECT --to-ports ${config.proxyPort}`)
  build.append('nat', IN_REDIRECT, `-p tcp -j REDIRECT --to-ports ${config.inboundCapturePort}`)
  captureInbound(build, config, tproxy)

  build.append('nat', 'OUTPUT', `-j ${OUTPUT}`)
  // Before the calls to self are redirected: an excluded port is excluded for those too.
  for (const port of split(config.outboundPortsExclude)) {
    build.append('nat', OUTPUT, `-p tcp --dport ${port} -j RETURN`)
    build.append('nat', OUTPUT, `-p udp --dport ${port} -j RETURN`)
  }
  // 127.0.0.6 / ::6 is what the inbound cluster binds to, so that its own connections to the app are told apart.
  build.appendPerFamily('nat', OUTPUT, ['127.0.0.6/32', '::6/128'], ip => `-o lo -s ${ip} -j RETURN`)
  selfCalls(build, config, dns, include.v4.hasLoopback || include.v6.hasLoopback)
  ownerGroups(build, config)
  if (dns) redirectDns(build, config)

  const loopback: FamilyPair = [config.hostIpv4LoopbackCidr, '::1/128']
  build.appendPerFamily('nat', OUTPUT, loopback, ip => `-d ${ip} -j RETURN`)
  for (const cidr of exclude.v4.cidrs) build.append4('nat', OUTPUT, `-d ${cidr} -j RETURN`)
  for (const cidr of exclude.v6.cidrs) build.append6('nat', OUTPUT, `-d ${cidr} -j RETURN`)
  for (const port of split(config.outboundPortsInclude)) {
    build.append('nat', OUTPUT, `-p tcp --dport ${port} -j ${REDIRECT}`)
  }
  captureOutbound(build, build.v4, config, include.v4)
  if (config.enableIpv6) captureOutbound(build, build.v6, config, include.v6)
  if (tproxy) markConnections(build, config, loopback)
  return { v4: build.v4, v6: build.v6 }
}

/** False also when DNS capture was asked for but there is no server to capture: the caller warns. */
export function redirectsDns(config: IptablesConfig): boolean {
  return (
    config.redirectDns && (config.captureAllDns || config.dnsServersV4.length > 0 || config.dnsServersV6.length > 0)
  )
}

type FamilyPair = readonly [v4: string, v6: string]

class Builder {
  readonly v4: Rule[] = []
  readonly v6: Rule[] = []
  readonly #ipv6: boolean

  constructor(config: IptablesConfig) {
    this.#ipv6 = config.enableIpv6
  }

  append(table: string, chain: string, spec: string): void {
    this.append4(table, chain, spec)
    this.append6(table, chain, spec)
  }

  append4(table: string, chain: string, spec: string): void {
    this.add(this.v4, table, chain, `-A ${chain} ${spec}`)
  }

  append6(table: string, chain: string, spec: string): void {
    if (this.#ipv6) this.add(this.v6, table, chain, `-A ${chain} ${spec}`)
  }

  appendPerFamily(table: string, chain: string, values: FamilyPair, spec: (value: string) => string): void {
    this.append4(table, chain, spec(values[0]))
    this.append6(table, chain, spec(values[1]))
  }

  insert(table: string, chain: string, position: number, spec: string): void {
    this.insertPerFamily(table, chain, position, ['', ''], () => spec)
  }

  insertPerFamily(
    table: string,
    chain: string,
    position: number,
    values: FamilyPair,
    spec: (value: string) => string,
  ): void {
    this.add(this.v4, table, chain, `-I ${chain} ${position} ${spec(values[0])}`)
    if (this.#ipv6) this.add(this.v6, table, chain, `-I ${chain} ${position} ${spec(values[1])}`)
  }

  add(family: Rule[], table: string, chain: string, spec: string): void {
    family.push({ table, chain, spec: spec.split(' ') })
  }
}

function excludeInterfaces(build: Builder, config: IptablesConfig, tproxy: boolean): void {
  for (const table of tproxy ? ['nat', 'mangle'] : ['nat']) {
    for (const name of split(config.excludeInterfaces)) {
      build.append(table, 'PREROUTING', `-i ${name} -j RETURN`)
      build.append(table, 'OUTPUT', `-o ${name} -j RETURN`)
    }
  }
}

function captureInbound(build: Builder, config: IptablesConfig, tproxy: boolean): void {
  if (config.inboundPortsInclude === '') return
  const table = tproxy ? 'mangle' : 'nat'
  const mark = config.inboundTproxyMark
  if (tproxy) {
    build.append('mangle', DIVERT, `-j MARK --set-mark ${mark}`)
    build.append('mangle', DIVERT, '-j ACCEPT')
    build.appendPerFamily(
      'mangle',
      TPROXY,
      [config.hostIpv4LoopbackCidr, '::1/128'],
      ip => `! -d ${ip} -p tcp -j TPROXY --tproxy-mark ${mark}/0xffffffff --on-port ${config.inboundCapturePort}`,
    )
  }
  build.append(table, 'PREROUTING', `-p tcp -j ${INBOUND}`)
  const all = config.inboundPortsInclude === '*'
  if (all) {
    for (const port of split(config.inboundPortsExclude)) {
      build.append(table, INBOUND, `-p tcp --dport ${port} -j RETURN`)
    }
  }
  for (const match of all ? ['-p tcp'] : split(config.inboundPortsInclude).map(port => `-p tcp --dport ${port}`)) {
    if (tproxy) {
      build.append('mangle', INBOUND, `${match} -m conntrack --ctstate RELATED,ESTABLISHED -j ${DIVERT}`)
      build.append('mangle', INBOUND, `${match} -j ${TPROXY}`)
    } else {
      build.append('nat', INBOUND, `${match} -j ${IN_REDIRECT}`)
    }
  }
}

/**
 * For the proxy's user and group: a call of the app to its own service VIP goes app → proxy out → proxy in → app;
 * a call to its own address stays direct; everything else the proxy sends is never captured again.
 */
function selfCalls(build: Builder, config: IptablesConfig, dns: boolean, loopbackIncluded: boolean): void {
  const loopback: FamilyPair = [config.hostIpv4LoopbackCidr, '::1/128']
  const owners = [
    ...split(config.proxyUid).map(uid => ['--uid-owner', uid] as const),
    ...split(config.proxyGid).map(gid => ['--gid-owner', gid] as const),
  ]
  for (const [kind, id] of owners) {
    // With DNS capture, TCP DNS from the agent must reach the server and not the inbound listener. Istio does this
    // for the user only; the group rule comes second, so it stays as Istio has it.
    const ports =
      dns && kind === '--uid-owner'
        ? `-m multiport ! --dports 53,${config.inboundTunnelPort}`
        : `! --dport ${config.inboundTunnelPort}`
    build.appendPerFamily(
      'nat',
      OUTPUT,
      loopback,
      ip => `-o lo ! -d ${ip} -p tcp ${ports} -m owner ${kind} ${id} -j ${IN_REDIRECT}`,
    )
    if (!loopbackIncluded) {
      const match = dns ? '-o lo -p tcp ! --dport 53' : '-o lo'
      build.append('nat', OUTPUT, `${match} -m owner ! ${kind} ${id} -j RETURN`)
    }
    build.append('nat', OUTPUT, `-m owner ${kind} ${id} -j RETURN`)
  }
}

function ownerGroups(build: Builder, config: IptablesConfig): void {
  if (config.ownerGroupsInclude === '*') {
    for (const group of split(config.ownerGroupsExclude)) {
      build.append('nat', OUTPUT, `-m owner --gid-owner ${group} -j RETURN`)
    }
    return
  }
  const noneOf = split(config.ownerGroupsInclude).map(group => `-m owner ! --gid-owner ${group} `)
  build.append('nat', OUTPUT, `${noneOf.join('')}-j RETURN`)
}

function captureOutbound(build: Builder, family: Rule[], config: IptablesConfig, range: NetworkRange): void {
  const virtual = split(config.rerouteVirtualInterfaces)
  if (range.wildcard) {
    build.add(family, 'nat', OUTPUT, `-A ${OUTPUT} -j ${REDIRECT}`)
    for (const name of virtual) {
      build.add(family, 'nat', 'PREROUTING', `-I PREROUTING 1 -i ${name} -j ${REDIRECT}`)
    }
    return
  }
  for (const cidr of range.cidrs) {
    for (const name of virtual) {
      build.add(family, 'nat', 'PREROUTING', `-I PREROUTING 1 -i ${name} -d ${cidr} -j ${REDIRECT}`)
    }
    build.add(family, 'nat', OUTPUT, `-A ${OUTPUT} -d ${cidr} -j ${REDIRECT}`)
  }
}

function redirectDns(build: Builder, config: IptablesConfig): void {
  const all = config.captureAllDns
  const to4 = all ? [''] : config.dnsServersV4.map(ip => ` -d ${ip}/32`)
  const to6 = all ? [''] : config.dnsServersV6.map(ip => ` -d ${ip}/128`)
  build.append('raw', 'OUTPUT', `-j ${OUTPUT_DNS}`)
  if (to4.length > 0) build.append4('nat', OUTPUT, `-j ${OUTPUT_DNS}`)
  if (to6.length > 0) build.append6('nat', OUTPUT, `-j ${OUTPUT_DNS}`)
  // Only the servers of resolv.conf: a local forwarder (dnsmasq) asking upstream must not come back to the agent.
  for (const [protocol, option] of [
    ['tcp', '--to-ports'],
    ['udp', '--to-port'],
  ] as const) {
    const target = `-j REDIRECT ${option} ${DNS_PORT}`
    for (const to of to4) build.append4('nat', OUTPUT_DNS, `-p ${protocol} --dport 53${to} ${target}`)
    for (const to of to6) build.append6('nat', OUTPUT_DNS, `-p ${protocol} --dport 53${to} ${target}`)
  }
  splitConntrackZones(build, config)
}

/** Agent ↔ resolver is zone 1, application ↔ agent is zone 2: one UDP flow must not race the other in conntrack. */
function splitConntrackZones(build: Builder, config: IptablesConfig): void {
  const owners = [
    ...split(config.proxyUid).map(uid => `--uid-owner ${uid}`),
    ...split(config.proxyGid).map(gid => `--gid-owner ${gid}`),
  ]
  for (const owner of owners) {
    build.append('raw', OUTPUT_DNS, `-p udp --dport 53 -m owner ${owner} -j CT --zone 1`)
    build.append('raw', OUTPUT_DNS, `-p udp --sport ${DNS_PORT} -m owner ${owner} -j CT --zone 2`)
  }
  if (config.captureAllDns) {
    build.append('raw', 'PREROUTING', `-j ${INBOUND}`)
    build.append('raw', OUTPUT_DNS, '-p udp --dport 53 -j CT --zone 2')
    build.append('raw', INBOUND, '-p udp --sport 53 -j CT --zone 1')
    return
  }
  if (config.dnsServersV4.length > 0) build.append4('raw', 'PREROUTING', `-j ${INBOUND}`)
  for (const ip of config.dnsServersV4) {
    build.append4('raw', OUTPUT_DNS, `-p udp --dport 53 -d ${ip}/32 -j CT --zone 2`)
    build.append4('raw', INBOUND, `-p udp --sport 53 -s ${ip}/32 -j CT --zone 1`)
  }
  if (config.dnsServersV6.length > 0) build.append6('raw', 'PREROUTING', `-j ${INBOUND}`)
  for (const ip of config.dnsServersV6) {
    build.append6('raw', OUTPUT_DNS, `-p udp --dport 53 -d ${ip}/128 -j CT --zone 2`)
    build.append6('raw', INBOUND, `-p udp --sport 53 -s ${ip}/128 -j CT --zone 1`)
  }
}

/** TPROXY keeps the client's address, so marks and not addresses tell proxy traffic from application traffic. */
function markConnections(build: Builder, config: IptablesConfig, loopback: FamilyPair): void {
  const mark = config.inboundTproxyMark
  build.append('mangle', 'PREROUTING', `-p tcp -m mark --mark ${mark} -j CONNMARK --save-mark`)
  build.append('mangle', 'OUTPUT', `-p tcp -o lo -m mark --mark ${mark} -j RETURN`)
  for (const [kind, list] of [
    ['--uid-owner', config.proxyUid],
    ['--gid-owner', config.proxyGid],
  ] as const) {
    for (const id of split(list)) {
      build.appendPerFamily(
        'mangle',
        'OUTPUT',
        loopback,
        ip => `! -d ${ip} -p tcp -o lo -m owner ${kind} ${id} -j MARK --set-mark ${OUTBOUND_MARK}`,
      )
    }
  }
  build.append('mangle', 'OUTPUT', `-p tcp -m connmark --mark ${mark} -j CONNMARK --restore-mark`)
  build.insert('mangle', INBOUND, 1, `-p tcp -m mark --mark ${mark} -j RETURN`)
  build.insertPerFamily('mangle', INBOUND, 2, ['127.0.0.6/32', '::6/128'], ip => `-p tcp -s ${ip} -i lo -j RETURN`)
  build.insert('mangle', INBOUND, 3, `-p tcp -i lo -m mark ! --mark ${OUTBOUND_MARK} -j RETURN`)
}

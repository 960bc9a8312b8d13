import { log } from '../agent/log.ts'
import { DryRunCommands, RealCommands } from './commands.ts'
import { DEFAULT_CONFIG, type IptablesConfig, validate } from './config.ts'
import { type Environment, fillFromEnvironment, localAddress, REAL_ENVIRONMENT } from './environment.ts'
import { apply } from './execute.ts'
import { isCurrentNamespace, runInNamespace } from './namespace.ts'
import { applyNft } from './nft-execute.ts'
import { configureRoutes } from './routes.ts'
import { redirectsDns } from './rules.ts'
import { validateRules } from './validation.ts'

/** Flags of `pilot-agent istio-iptables`: Istio's names, shorthands, environment variables and defaults. */
export const IPTABLES_FLAGS = [
  flag('envoy-port', 'p', 'string', DEFAULT_CONFIG.proxyPort, 'port to which all outbound TCP is redirected', []),
  flag('inbound-capture-port', 'z', 'string', DEFAULT_CONFIG.inboundCapturePort, 'port for inbound TCP'),
  flag('inbound-tunnel-port', 'e', 'string', DEFAULT_CONFIG.inboundTunnelPort, 'HBONE port, never captured'),
  flag('proxy-uid', 'u', 'string', '', 'users that are not captured (the proxy)'),
  flag('proxy-gid', 'g', 'string', '', 'groups that are not captured; default as -u'),
  flag('istio-inbound-interception-mode', 'm', 'string', '', 'REDIRECT or TPROXY'),
  flag('istio-inbound-ports', 'b', 'string', '', 'inbound ports to capture, * for all'),
  flag('istio-local-exclude-ports', 'd', 'string', '', 'inbound ports not to capture, with -b *'),
  flag('istio-exclude-interfaces', 'c', 'string', '', 'interfaces that are not captured at all'),
  flag('istio-service-cidr', 'i', 'string', '', 'outbound ranges to capture, * for all'),
  flag('istio-service-exclude-cidr', 'x', 'string', '', 'outbound ranges not to capture'),
  flag('istio-outbound-ports', 'q', 'string', '', 'outbound ports to capture whatever -i says'),
  flag('istio-local-outbound-ports-exclude', 'o', 'string', '', 'outbound ports not to capture'),
  flag('kube-virt-interfaces', 'k', 'string', '', 'interfaces whose inbound traffic counts as outbound'),
  flag('istio-inbound-tproxy-mark', 't', 'string', DEFAULT_CONFIG.inboundTproxyMark, 'packet mark for TPROXY'),
  flag('istio-inbound-tproxy-route-table', 'r', 'string', DEFAULT_CONFIG.inboundTproxyRouteTable, 'table for TPROXY'),
  flag('dry-run', 'n', 'bool', 'false', 'print what would be done'),
  flag('skip-rule-apply', undefined, 'bool', 'false', 'do not apply rules'),
  flag('redirect-dns', undefined, 'bool', 'false', 'send DNS to the agent', ['REDIRECT_DNS', 'ISTIO_META_DNS_CAPTURE']),
  flag('capture-all-dns', undefined, 'bool', 'false', 'with --redirect-dns: any server, not only those of resolv.conf'),
  flag('drop-invalid', undefined, 'bool', 'false', 'drop packets conntrack calls INVALID', [
    'DROP_INVALID',
    'INVALID_DROP',
  ]),
  flag('dual-stack', undefined, 'bool', 'false', 'IPv4 and IPv6', ['DUAL_STACK', 'ISTIO_DUAL_STACK']),
  flag('reconcile', undefined, 'bool', 'false', 'replace other Istio rules that are in place'),
  flag('cleanup-only', undefined, 'bool', 'false', 'remove the rules'),
  flag('force-apply', undefined, 'bool', 'false', 'apply even if the rules seem to be in place'),
  flag('force-iptables-binary', undefined, 'string', '', 'legacy or nft'),
  flag('iptables-probe-port', undefined, 'int', '15002', 'port for --run-validation'),
  flag('probe-timeout', undefined, 'duration', '5s', 'time limit of --run-validation'),
  flag('run-validation', undefined, 'bool', 'false', 'probe the rules after applying; run as the user of the proxy'),
  flag('network-namespace', undefined, 'string', '', 'path of the network namespace to work in'),
  flag('cni-mode', undefined, 'bool', 'false', "the files are the node's: lock the network namespace and not the node"),
  flag('native-nftables', undefined, 'bool', 'false', 'make the rules with nft instead of iptables'),
] as const

/** Typed view of parsed flags; cmd/flags.ts provides it. */
export interface FlagValues {
  string(name: string): string
  bool(name: string): boolean
  int(name: string): number
  /** Milliseconds. */
  duration(name: string): number
}

export function configFromFlags(flags: FlagValues): IptablesConfig {
  return {
    ...DEFAULT_CONFIG,
    proxyPort: flags.string('envoy-port'),
    inboundCapturePort: flags.string('inbound-capture-port'),
    inboundTunnelPort: flags.string('inbound-tunnel-port'),
    proxyUid: flags.string('proxy-uid'),
    proxyGid: flags.string('proxy-gid'),
    inboundInterceptionMode: flags.string('istio-inbound-interception-mode'),
    inboundTproxyMark: flags.string('istio-inbound-tproxy-mark'),
    inboundTproxyRouteTable: flags.string('istio-inbound-tproxy-route-table'),
    inboundPortsInclude: flags.string('istio-inbound-ports'),
    inboundPortsExclude: flags.string('istio-local-exclude-ports'),
    excludeInterfaces: flags.string('istio-exclude-interfaces'),
    outboundIpRangesInclude: flags.string('istio-service-cidr'),
    outboundIpRangesExclude: flags.string('istio-service-exclude-cidr'),
    outboundPortsInclude: flags.string('istio-outbound-ports'),
    outboundPortsExclude: flags.string('istio-local-outbound-ports-exclude'),
    rerouteVirtualInterfaces: flags.string('kube-virt-interfaces'),
    dryRun: flags.bool('dry-run'),
    skipRuleApply: flags.bool('skip-rule-apply'),
    redirectDns: flags.bool('redirect-dns'),
    captureAllDns: flags.bool('capture-all-dns'),
    dropInvalid: flags.bool('drop-invalid'),
    dualStack: flags.bool('dual-stack'),
    reconcile: flags.bool('reconcile'),
    cleanupOnly: flags.bool('cleanup-only'),
    forceApply: flags.bool('force-apply'),
    forceIptablesBinary: flags.string('force-iptables-binary'),
    nativeNftables: flags.bool('native-nftables'),
    networkNamespace: flags.string('network-namespace'),
    cniMode: flags.bool('cni-mode'),
  }
}

/** What istio-cni's repair controller looks for in the status of the istio-validation container. */
const VALIDATION_FAILED = 126

/** The whole subcommand; resolves to the exit status. Rejects with IptablesConfigError or IptablesError (status 1). */
export async function runIstioIptables(
  flags: FlagValues,
  environment: Environment = REAL_ENVIRONMENT,
): Promise<number> {
  return runWith(configFromFlags(flags), flags, environment)
}

/** `istio-clean-iptables`, the command of older Istio versions that VMs still call when the agent stops. */
export async function runIstioCleanIptables(
  flags: FlagValues,
  environment: Environment = REAL_ENVIRONMENT,
): Promise<number> {
  return runWith({ ...configFromFlags(flags), cleanupOnly: true }, flags, environment)
}

async function runWith(asked: IptablesConfig, flags: FlagValues, environment: Environment): Promise<number> {
  if (asked.networkNamespace !== '' && !isCurrentNamespace(asked.networkNamespace)) {
    return runInNamespace(asked.networkNamespace)
  }
  const config = fillFromEnvironment(asked, environment)
  validate(config)
  if (config.redirectDns && !redirectsDns(config)) {
    log.warn('REDIRECT_DNS is set, but CAPTURE_ALL_DNS is false, and no DNS servers provided. DNS capture disabled.')
  }
  if (config.dryRun) log.info('running iptables in dry-run mode, no rule changes will be made')
  if (!config.skipRuleApply) applyRules(config, environment)
  if (!flags.bool('run-validation')) return 0
  const wrong = await validateRules({
    ports: [Number(config.proxyPort), Number(config.inboundCapturePort)],
    probePort: flags.int('iptables-probe-port'),
    timeoutMs: flags.duration('probe-timeout'),
    hostAddress: localAddress(environment),
  })
  if (wrong === undefined) return 0
  log.error(`iptables validation failed; workload is not ready for Istio: ${wrong}`)
  log.error('When using Istio CNI, this can occur if a pod is scheduled before the node is ready.')
  return VALIDATION_FAILED
}

function applyRules(config: IptablesConfig, environment: Environment): void {
  const lockFile = config.cniMode ? config.networkNamespace : ''
  const commands = config.dryRun ? new DryRunCommands() : new RealCommands(config.forceIptablesBinary, lockFile)
  if (config.nativeNftables) log.info('native nftables enabled, using nft rules for traffic redirection.')
  const backend = config.nativeNftables ? 'nftables' : 'iptables'
  log.info(`Istio ${backend} environment:\n${describeEnvironment(environment)}`)
  log.info(`Istio config:\n${describeConfig(config)}`)
  if (config.nativeNftables) applyNft(config, commands)
  else apply(config, commands)
  if (config.dryRun) log.info('skipping configuring routes due to dry run mode')
  else if (!config.cleanupOnly) configureRoutes(config)
}

function flag<K extends 'string' | 'bool' | 'int' | 'duration'>(
  name: string,
  short: string | undefined,
  kind: K,
  byDefault: string,
  usage: string,
  env: readonly string[] = [name.toUpperCase().replaceAll('-', '_')],
): { name: string; short?: string; kind: K; default: string; usage: string; env: readonly string[] } {
  return { name, ...(short === undefined ? {} : { short }), kind, default: byDefault, usage, env }
}

const REPORTED_VARIABLES = [
  'ENVOY_PORT',
  'INBOUND_CAPTURE_PORT',
  'ISTIO_INBOUND_INTERCEPTION_MODE',
  'ISTIO_INBOUND_TPROXY_ROUTE_TABLE',
  'ISTIO_INBOUND_PORTS',
  'ISTIO_OUTBOUND_PORTS',
  'ISTIO_LOCAL_EXCLUDE_PORTS',
  'ISTIO_EXCLUDE_INTERFACES',
  'ISTIO_SERVICE_CIDR',
  'ISTIO_SERVICE_EXCLUDE_CIDR',
  'ISTIO_META_DNS_CAPTURE',
  'INVALID_DROP',
]

function describeEnvironment(environment: Environment): string {
  return REPORTED_VARIABLES.map(name => `${name}=${environment.env[name] ?? ''}\n`).join('')
}

function describeConfig(config: IptablesConfig): string {
  const rows: [string, unknown][] = [
    ['PROXY_PORT', config.proxyPort],
    ['PROXY_INBOUND_CAPTURE_PORT', config.inboundCapturePort],
    ['PROXY_TUNNEL_PORT', config.inboundTunnelPort],
    ['PROXY_UID', config.proxyUid],
    ['PROXY_GID', config.proxyGid],
    ['INBOUND_INTERCEPTION_MODE', config.inboundInterceptionMode],
    ['INBOUND_TPROXY_MARK', config.inboundTproxyMark],
    ['INBOUND_TPROXY_ROUTE_TABLE', config.inboundTproxyRouteTable],
    ['INBOUND_PORTS_INCLUDE', config.inboundPortsInclude],
    ['INBOUND_PORTS_EXCLUDE', config.inboundPortsExclude],
    ['OUTBOUND_OWNER_GROUPS_INCLUDE', config.ownerGroupsInclude],
    ['OUTBOUND_OWNER_GROUPS_EXCLUDE', config.ownerGroupsExclude],
    ['OUTBOUND_IP_RANGES_INCLUDE', config.outboundIpRangesInclude],
    ['OUTBOUND_IP_RANGES_EXCLUDE', config.outboundIpRangesExclude],
    ['OUTBOUND_PORTS_INCLUDE', config.outboundPortsInclude],
    ['OUTBOUND_PORTS_EXCLUDE', config.outboundPortsExclude],
    ['KUBE_VIRT_INTERFACES', config.rerouteVirtualInterfaces],
    ['ENABLE_INBOUND_IPV6', config.enableIpv6],
    ['DUAL_STACK', config.dualStack],
    ['DNS_CAPTURE', config.redirectDns],
    ['DROP_INVALID', config.dropInvalid],
    ['CAPTURE_ALL_DNS', config.captureAllDns],
    ['DNS_SERVERS', `[${config.dnsServersV4.join(' ')}],[${config.dnsServersV6.join(' ')}]`],
    ['NETWORK_NAMESPACE', config.networkNamespace],
    ['CNI_MODE', config.cniMode],
    ['EXCLUDE_INTERFACES', config.excludeInterfaces],
    ['RECONCILE', config.reconcile],
    ['CLEANUP_ONLY', config.cleanupOnly],
    ['FORCE_APPLY', config.forceApply],
    ['NATIVE_NFTABLES', config.nativeNftables],
    ['FORCE_IPTABLES_BINARY', config.forceIptablesBinary],
  ]
  return rows.map(([name, value]) => `${name}=${value}\n`).join('')
}

import { ConfigError } from '../base/errors.ts'
import type {
  HealthStatus,
  LbConfig,
  LbPolicy,
  RuntimeNumber,
  SlowStartConfig,
  ZoneAwareConfig,
} from '../upstream/cluster-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { percent } from './percent.ts'

type Cluster = envoy.config.cluster.v3.Cluster
type Common = envoy.config.cluster.v3.Cluster_CommonLbConfig

/** lb_policy or load_balancing_policy, and common_lb_config, into one form. */
export function parseLb(proto: Cluster, type: string, at: FieldPath): LbConfig {
  const common: Common = proto.common_lb_config ?? {}
  const typed = proto.load_balancing_policy
  const name = proto.name ?? ''
  let policy: LbPolicy
  let zone = common.zone_aware_lb_config as ZoneAwareProto | undefined
  let localityWeighted = common.locality_weighted_lb_config !== undefined
  if (typed !== undefined) {
    if (zone !== undefined || localityWeighted || common.consistent_hashing_lb_config !== undefined) {
      throw new ConfigError(
        'CONFIG_INVALID',
        at,
        'cluster: load_balancing_policy cannot be combined with partial fields (zone_aware_lb_config, ' +
          'locality_weighted_lb_config, consistent_hashing_lb_config) of common_lb_config',
      )
    }
    const result = parseTyped(typed, name, at.field('load_balancing_policy'))
    policy = result.policy
    zone = result.zone
    localityWeighted = result.localityWeighted
  } else {
    policy = parseLegacy(proto, common, at)
  }
  checkPolicy(policy, type, proto, at)
  return {
    policy,
    // PROTOBUF_PERCENT_TO_ROUNDED_INTEGER_OR_DEFAULT
    healthyPanicThreshold: Math.round(percent(common.healthy_panic_threshold, 50)),
    localityWeighted,
    zoneAware: parseZoneAware(zone),
    ignoreNewHostsUntilFirstHc: common.ignore_new_hosts_until_first_hc ?? false,
    closeConnectionsOnHostSetChange: common.close_connections_on_host_set_change ?? false,
    overrideHostStatus: (common.override_host_status?.statuses as readonly HealthStatus[] | undefined) ?? [
      'UNKNOWN',
      'HEALTHY',
      'DEGRADED',
    ],
  }
}

function parseLegacy(proto: Cluster, common: Common, at: FieldPath): LbPolicy {
  const hashing = common.consistent_hashing_lb_config
  switch (proto.lb_policy ?? 'ROUND_ROBIN') {
    case 'ROUND_ROBIN':
      return { kind: 'round_robin', slowStart: parseSlowStart(proto.round_robin_lb_config?.slow_start_config) }
    case 'LEAST_REQUEST':
      return leastRequest(proto.least_request_lb_config ?? {})
    case 'RANDOM':
      return { kind: 'random' }
    case 'RING_HASH':
      return ringHash(proto.ring_hash_lb_config ?? {}, hashing ?? {})
    case 'MAGLEV':
      return maglev(proto.maglev_lb_config?.table_size, hashing ?? {})
    case 'CLUSTER_PROVIDED':
      return { kind: 'cluster_provided' }
    case 'LOAD_BALANCING_POLICY_CONFIG':
      throw new ConfigError('CONFIG_INVALID', at, 'cluster: field load_balancing_policy need to be set')
    default:
      throw new ConfigError('CONFIG_INVALID', at, `cluster: unknown lb_policy ${String(proto.lb_policy)}`)
  }
}

interface TypedResult {
  policy: LbPolicy
  zone: ZoneAwareProto | undefined
  localityWeighted: boolean
}

/** The first policy that is known is used, as Envoy does. */
function parseTyped(proto: envoy.config.cluster.v3.LoadBalancingPolicy, cluster: string, at: FieldPath): TypedResult {
  const names: string[] = []
  for (const entry of proto.policies ?? []) {
    const extension = entry.typed_extension_config
    const url = extension?.typed_config?.type_url ?? ''
    const message = (extension?.typed_config?.message ?? {}) as Record<string, never>
    names.push(extension?.name ?? '')
    const result = parseExtension(url.slice(url.lastIndexOf('/') + 1), message, at)
    if (result !== null) return result
  }
  throw new ConfigError(
    'CONFIG_INVALID',
    at,
    `cluster: didn't find a registered load balancer factory implementation for cluster: '${cluster}' with names from [${names.join(', ')}]`,
  )
}

interface LocalityLbProto {
  readonly zone_aware_lb_config?: ZoneAwareProto | undefined
  readonly locality_weighted_lb_config?: object | undefined
}

function parseExtension(type: string, message: object, at: FieldPath): TypedResult | null {
  const locality = (message as { locality_lb_config?: LocalityLbProto }).locality_lb_config
  const zone = locality?.zone_aware_lb_config
  const weighted = locality?.locality_weighted_lb_config !== undefined
  switch (type) {
    case 'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin': {
      const p = message as envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin
      return {
        policy: { kind: 'round_robin', slowStart: parseSlowStart(p.slow_start_config) },
        zone,
        localityWeighted: weighted,
      }
    }
    case 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest': {
      const p = message as envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest
      return { policy: leastRequest(p), zone, localityWeighted: weighted }
    }
    case 'envoy.extensions.load_balancing_policies.random.v3.Random':
      return { policy: { kind: 'random' }, zone, localityWeighted: weighted }
    case 'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash': {
      const p = message as envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash
      rejectHashPolicy(p.consistent_hashing_lb_config, at)
      return {
        policy: ringHash(p, p.consistent_hashing_lb_config ?? p),
        zone: undefined,
        localityWeighted: p.locality_weighted_lb_config !== undefined,
      }
    }
    case 'envoy.extensions.load_balancing_policies.maglev.v3.Maglev': {
      const p = message as envoy.extensions.load_balancing_policies.maglev.v3.Maglev
      rejectHashPolicy(p.consistent_hashing_lb_config, at)
      return {
        policy: maglev(p.table_size, p.consistent_hashing_lb_config ?? {}),
        zone: undefined,
        localityWeighted: p.locality_weighted_lb_config !== undefined,
      }
    }
    case 'envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided':
      return { policy: { kind: 'cluster_provided' }, zone: undefined, localityWeighted: false }
    default:
      return null
  }
}

/** A hash policy of the load balancer replaces the route's: traffic would go elsewhere if it were ignored. */
function rejectHashPolicy(
  proto: envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig | undefined,
  at: FieldPath,
): void {
  if ((proto?.hash_policy ?? []).length > 0) {
    throw new ConfigError(
      'CONFIG_UNSUPPORTED',
      at,
      'consistent_hashing_lb_config.hash_policy is not supported: set hash_policy on the route',
    )
  }
}

interface LeastRequestProto {
  readonly choice_count?: number | undefined
  readonly active_request_bias?: envoy.config.core.v3.RuntimeDouble | undefined
  readonly slow_start_config?: SlowStartProto | undefined
  readonly enable_full_scan?: boolean | undefined
  readonly selection_method?: string | number | undefined
}

function leastRequest(p: LeastRequestProto): LbPolicy {
  return {
    kind: 'least_request',
    choiceCount: p.choice_count ?? 2,
    fullScan: p.enable_full_scan === true || p.selection_method === 'FULL_SCAN',
    activeRequestBias: runtimeNumber(p.active_request_bias, 1),
    slowStart: parseSlowStart(p.slow_start_config),
  }
}

interface RingHashProto {
  readonly minimum_ring_size?: number | bigint | undefined
  readonly maximum_ring_size?: number | bigint | undefined
  readonly hash_function?: string | number | undefined
}

interface HashingProto {
  readonly use_hostname_for_hashing?: boolean | undefined
  readonly hash_balance_factor?: number | undefined
}

function ringHash(p: RingHashProto, hashing: HashingProto): LbPolicy {
  return {
    kind: 'ring_hash',
    minimumRingSize: Number(p.minimum_ring_size ?? 1024),
    maximumRingSize: Number(p.maximum_ring_size ?? 8 * 1024 * 1024),
    murmur: p.hash_function === 'MURMUR_HASH_2',
    useHostname: hashing.use_hostname_for_hashing ?? false,
    balanceFactor: hashing.hash_balance_factor ?? 0,
  }
}

function maglev(tableSize: number | bigint | undefined, hashing: HashingProto): LbPolicy {
  return {
    kind: 'maglev',
    tableSize: Number(tableSize ?? 65537),
    useHostname: hashing.use_hostname_for_hashing ?? false,
    balanceFactor: hashing.hash_balance_factor ?? 0,
  }
}

function checkPolicy(policy: LbPolicy, type: string, proto: Cluster, at: FieldPath): void {
  // Only names that were looked up are known to be there for every host (ClusterFactoryImplBase::create).
  const byName = proto.common_lb_config?.consistent_hashing_lb_config?.use_hostname_for_hashing === true
  if (byName && type !== 'STRICT_DNS') {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      `Cannot use hostname for consistent hashing loadbalancing for cluster of type: 'envoy.cluster.${type.toLowerCase()}'`,
    )
  }
  if (type === 'ORIGINAL_DST' && policy.kind !== 'cluster_provided') {
    const name =
      proto.load_balancing_policy !== undefined ? 'LOAD_BALANCING_POLICY_CONFIG' : (proto.lb_policy ?? 'ROUND_ROBIN')
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      `cluster: LB policy ${name} is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'`,
    )
  }
  if (type !== 'ORIGINAL_DST' && policy.kind === 'cluster_provided') {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      `cluster manager: cluster provided LB specified but cluster '${proto.name ?? ''}' did not provide one. Check cluster documentation.`,
    )
  }
  if (policy.kind === 'ring_hash' && policy.minimumRingSize > policy.maximumRingSize) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      `ring hash: minimum_ring_size (${policy.minimumRingSize}) > maximum_ring_size (${policy.maximumRingSize})`,
    )
  }
  if (policy.kind === 'maglev' && !isPrime(policy.tableSize)) {
    throw new ConfigError('CONFIG_INVALID', at, 'The table size of maglev must be prime number')
  }
}

type ZoneAwareProto = envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig_ZoneAwareLbConfig

function parseZoneAware(p: ZoneAwareProto | undefined): ZoneAwareConfig {
  return {
    routingEnabled: Math.round(percent(p?.routing_enabled, 100)),
    minClusterSize: Number(p?.min_cluster_size ?? 6),
    failTrafficOnPanic: p?.fail_traffic_on_panic ?? false,
    forceLocalityDirectRouting: p?.force_locality_direct_routing ?? false,
  }
}

type SlowStartProto = envoy.config.cluster.v3.Cluster_SlowStartConfig

function parseSlowStart(p: SlowStartProto | undefined): SlowStartConfig | null {
  if (p === undefined || (p.slow_start_window ?? 0) === 0) return null
  return {
    window: p.slow_start_window ?? 0,
    aggression: runtimeNumber(p.aggression, 1),
    minWeight: percent(p.min_weight_percent, 10) / 100,
  }
}

function runtimeNumber(p: envoy.config.core.v3.RuntimeDouble | undefined, defaultValue: number): RuntimeNumber {
  return { value: p === undefined ? defaultValue : (p.default_value ?? 0), key: p?.runtime_key ?? '' }
}

function isPrime(n: number): boolean {
  if (n < 2) return false
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false
  return true
}

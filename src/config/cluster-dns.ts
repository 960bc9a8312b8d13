import { ConfigError } from '../base/errors.ts'
import type { ClusterType, DnsConfig } from '../upstream/cluster-config.ts'
import type { ClusterParser } from './cluster.ts'
import { parseSocketAddress } from './endpoint.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'

type Cluster = envoy.config.cluster.v3.Cluster
type DnsCluster = envoy.extensions.clusters.dns.v3.DnsCluster

const DNS_CLUSTER = 'envoy.extensions.clusters.dns.v3.DnsCluster'
const CARES = 'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig'

/** envoy.clusters.dns: LOGICAL_DNS when all addresses go into one endpoint, STRICT_DNS otherwise; null for other types. */
export function dnsOfType(url: string): ((message: object | undefined) => ClusterType) | null {
  if (!url.endsWith(`/${DNS_CLUSTER}`)) return null
  return m => ((m as DnsCluster | undefined)?.all_addresses_in_single_endpoint === true ? 'LOGICAL_DNS' : 'STRICT_DNS')
}

/** DNS settings from the cluster's own (older) fields or from the envoy.clusters.dns extension. */
export function parseDns(proto: Cluster, at: FieldPath, parser: ClusterParser): DnsConfig {
  const extension = proto.cluster_type?.typed_config?.message as DnsCluster | undefined
  const rates = extension ?? proto
  const failure = rates.dns_failure_refresh_rate
  const base = failure?.base_interval ?? 0
  const max = failure?.max_interval ?? base * 10
  if (failure !== undefined && max < base) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      'dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval',
    )
  }
  if (extension?.dns_min_refresh_rate !== undefined)
    parser.warn(`cluster '${proto.name ?? ''}': dns_min_refresh_rate is not acted on`)
  const resolver = parseResolver(proto, extension, at, parser)
  return {
    refreshRate: rates.dns_refresh_rate ?? 5000,
    jitter: rates.dns_jitter ?? 0,
    failureRefresh: failure === undefined ? null : { base, max },
    respectTtl: rates.respect_dns_ttl ?? false,
    lookupFamily: family(rates.dns_lookup_family ?? 'AUTO', at),
    ...resolver,
  }
}

function family(name: string | number, at: FieldPath): DnsConfig['lookupFamily'] {
  switch (name) {
    case 'AUTO':
    case 'UNSPECIFIED':
      return 'AUTO'
    case 'V4_ONLY':
    case 'V6_ONLY':
    case 'V4_PREFERRED':
    case 'ALL':
      return name
  }
  throw new ConfigError('CONFIG_INVALID', at.field('dns_lookup_family'), `unknown dns_lookup_family ${name}`)
}

type Resolver = Pick<DnsConfig, 'resolvers' | 'noDefaultSearchDomain' | 'queryTimeout' | 'queryTries'>

function parseResolver(
  proto: Cluster,
  extension: DnsCluster | undefined,
  at: FieldPath,
  parser: ClusterParser,
): Resolver {
  const typed = extension?.typed_dns_resolver_config ?? proto.typed_dns_resolver_config
  if (typed !== undefined) {
    const url = typed.typed_config?.type_url ?? ''
    if (!url.endsWith(`/${CARES}`)) {
      parser.warn(`cluster '${proto.name ?? ''}': ${typed.name ?? ''} is answered by the c-ares resolver`)
      return { resolvers: [], noDefaultSearchDomain: false, queryTimeout: 0, queryTries: 0 }
    }
    const cares = (typed.typed_config?.message ??
      {}) as envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
    return {
      // With use_resolvers_as_fallback /etc/resolv.conf comes first; they matter only when it is empty.
      resolvers: cares.use_resolvers_as_fallback === true ? [] : addresses(cares.resolvers, at),
      noDefaultSearchDomain: cares.dns_resolver_options?.no_default_search_domain ?? false,
      queryTimeout: Number(cares.query_timeout_seconds ?? 0) * 1000,
      queryTries: cares.query_tries ?? 0,
    }
  }
  const old = proto.dns_resolution_config
  if (old?.dns_resolver_options?.use_tcp_for_dns_lookups === true || proto.use_tcp_for_dns_lookups === true) {
    parser.warn(`cluster '${proto.name ?? ''}': use_tcp_for_dns_lookups is not acted on`)
  }
  return {
    resolvers: addresses(old?.resolvers ?? proto.dns_resolvers, at),
    noDefaultSearchDomain: old?.dns_resolver_options?.no_default_search_domain ?? false,
    queryTimeout: 0,
    queryTries: 0,
  }
}

function addresses(list: readonly envoy.config.core.v3.Address[] | undefined, at: FieldPath): string[] {
  return (list ?? []).map(a => {
    const parsed = parseSocketAddress(a.socket_address ?? {}, at.field('resolvers'))
    return parsed.port === 0 ? parsed.ip : parsed.text
  })
}

import { ConfigError } from '../base/errors.ts'
import type { ClusterChoiceConfig, WeightedClusterConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { latin1 } from './matcher.ts'
import { nearestName } from './nearest-name.ts'
import { filterMetadata, type RouteParseServices } from './route.ts'
import { parseFilterOverrides } from './route-filters.ts'
import { parseHeaderMutations } from './route-headers.ts'

const MAX_UINT32 = 4294967295

/** cluster, cluster_header or weighted_clusters of a route action. */
export function parseClusterChoice(
  proto: envoy.config.route.v3.RouteAction,
  at: FieldPath,
  services: RouteParseServices,
): ClusterChoiceConfig {
  if (proto.weighted_clusters !== undefined) {
    return parseWeighted(proto.weighted_clusters, at.field('weighted_clusters'), services)
  }
  if (proto.cluster_header !== undefined) return { kind: 'header', name: proto.cluster_header.toLowerCase() }
  const name = proto.cluster ?? ''
  if (!services.hasCluster(name)) {
    throw unknownCluster(at.field('cluster'), `route: unknown cluster '${name}'`, name, services)
  }
  return { kind: 'cluster', name }
}

function unknownCluster(at: FieldPath, text: string, name: string, services: RouteParseServices): ConfigError {
  const near = nearestName(name, services.clusterNames?.() ?? [])
  const advice =
    near === null
      ? 'define it under static_resources.clusters or set validate_clusters: false'
      : `did you mean '${near}'?`
  return new ConfigError('CONFIG_REFERENCE', at, text, { advice })
}

function parseWeighted(
  proto: envoy.config.route.v3.WeightedCluster,
  at: FieldPath,
  services: RouteParseServices,
): ClusterChoiceConfig {
  const clusters = (proto.clusters ?? []).map((c, i) => parseClusterWeight(c, at.field('clusters').index(i), services))
  const total = clusters.reduce((sum, cluster) => sum + cluster.weight, 0)
  if (total > MAX_UINT32) {
    const text = `The sum of weights of all weighted clusters of route  exceeds ${MAX_UINT32}`
    throw new ConfigError('CONFIG_INVALID', at, text)
  }
  if (total === 0) {
    throw new ConfigError('CONFIG_INVALID', at, 'Sum of weights in the weighted_cluster must be greater than 0.')
  }
  for (let i = 0; i < clusters.length; i++) {
    const { name } = clusters[i]!
    if (name !== '' && !services.hasCluster(name)) {
      const text = `route: unknown weighted cluster '${name}'`
      throw unknownCluster(at.field('clusters').index(i).field('name'), text, name, services)
    }
  }
  return {
    kind: 'weighted',
    clusters,
    runtimeKeyPrefix: proto.runtime_key_prefix ?? '',
    headerName: (proto.header_name ?? '').toLowerCase(),
    useHashPolicy: proto.use_hash_policy ?? false,
  }
}

function parseClusterWeight(
  proto: envoy.config.route.v3.WeightedCluster_ClusterWeight,
  at: FieldPath,
  services: RouteParseServices,
): WeightedClusterConfig {
  const name = proto.name ?? ''
  const header = proto.cluster_header ?? ''
  if (name !== '' && header !== '') {
    throw new ConfigError('CONFIG_INVALID', at, 'Only one of name or cluster_header can be specified')
  }
  if (name === '' && header === '') {
    throw new ConfigError('CONFIG_INVALID', at, 'At least one of name or cluster_header need to be specified')
  }
  if (proto.weight === undefined) {
    throw new ConfigError('CONFIG_INVALID', at.field('weight'), `Field 'weight' is missing in: name: "${name}"`)
  }
  return {
    name,
    clusterHeader: header.toLowerCase(),
    weight: proto.weight,
    metadataMatch: filterMetadata(proto.metadata_match),
    headers: parseHeaderMutations(proto, at),
    filters: parseFilterOverrides(proto.typed_per_filter_config, at.field('typed_per_filter_config'), services),
    hostRewriteLiteral: latin1(proto.host_rewrite_literal ?? ''),
  }
}

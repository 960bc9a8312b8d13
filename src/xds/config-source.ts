import { existsSync } from 'node:fs'
import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { GrpcTarget } from './grpc-target.ts'
import { grpcTarget } from './grpc-target.ts'
import type { ClustersByName } from './static-clusters.ts'

export type ConfigSourceProto = envoy.config.core.v3.ConfigSource
type ApiConfigSourceProto = envoy.config.core.v3.ApiConfigSource

/** A gRPC control plane and how it is spoken to. */
export interface ApiSource {
  readonly target: GrpcTarget
  /** rate_limit_settings; 0 tokens = none. */
  readonly maxTokens: number
  readonly fillRate: number
  readonly nodeOnFirstMessageOnly: boolean
  /** api_type DELTA_GRPC: the incremental protocol. */
  readonly delta: boolean
}

/** A config source that can be followed. */
export type SourcePlan =
  | { readonly kind: 'ads' }
  | { readonly kind: 'grpc'; readonly api: ApiSource }
  | { readonly kind: 'file'; readonly path: string; readonly watchedDirectory: string }

/** Reads a ConfigSource. Throws ConfigError for what cannot be followed. */
export function planSource(
  source: ConfigSourceProto,
  clusters: ClustersByName,
  hasAds: boolean,
  at: FieldPath,
): SourcePlan {
  if ((source.authorities ?? []).length > 0) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field('authorities'), 'xdstp authorities are not supported')
  }
  if (source.ads !== undefined) {
    if (hasAds) return { kind: 'ads' }
    const text = 'ADS must be configured to support an ADS config source'
    throw new ConfigError('CONFIG_REFERENCE', at.field('ads'), text, { advice: 'add dynamic_resources.ads_config' })
  }
  const pathSource = source.path_config_source
  if (pathSource !== undefined || source.path !== undefined) {
    const path = pathSource?.path ?? source.path ?? ''
    if (!existsSync(path)) {
      const text = `paths must refer to an existing path in the system: '${path}' does not exist`
      throw new ConfigError('CONFIG_RESOURCE', at.field(pathSource === undefined ? 'path' : 'path_config_source'), text)
    }
    return { kind: 'file', path, watchedDirectory: pathSource?.watched_directory?.path ?? '' }
  }
  if (source.api_config_source !== undefined) {
    const name = source.api_config_source.grpc_services?.[0]?.envoy_grpc?.cluster_name
    const cluster = name === undefined ? undefined : clusters.get(name)
    if (name !== undefined && (cluster === undefined || cluster.type === 'EDS')) {
      const text =
        'envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: ' +
        `'${name}' does not exist, was added via api, or is an EDS cluster`
      throw new ConfigError('CONFIG_REFERENCE', at.field('api_config_source').field('grpc_services').index(0), text)
    }
    return { kind: 'grpc', api: planApi(source.api_config_source, clusters, at.field('api_config_source')) }
  }
  throw new ConfigError('CONFIG_UNSUPPORTED', at, 'the config source `self` is not supported', {
    advice: 'name the source: ads, api_config_source or path_config_source',
  })
}

/** An ApiConfigSource of type GRPC or DELTA_GRPC (ads_config is one, too). Throws ConfigError. */
export function planApi(proto: ApiConfigSourceProto, clusters: ClustersByName, at: FieldPath): ApiSource {
  const type = proto.api_type ?? 'DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE'
  if (type !== 'GRPC' && type !== 'DELTA_GRPC') {
    const advice = 'use api_type GRPC or DELTA_GRPC'
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field('api_type'), `api_type ${type} is not supported`, { advice })
  }
  // Unset and AUTO mean V3 since v2 is gone; configurations in the wild leave it out.
  const version = proto.transport_api_version ?? 'AUTO'
  if (version !== 'V3' && version !== 'AUTO') {
    const text = `${version} xDS transport protocol version is not supported`
    throw new ConfigError('CONFIG_INVALID', at.field('transport_api_version'), text, { advice: 'set it to V3' })
  }
  if ((proto.cluster_names ?? []).length > 0) {
    const text = 'ApiConfigSource::(DELTA_)GRPC must not have a cluster name specified'
    throw new ConfigError('CONFIG_INVALID', at.field('cluster_names'), text)
  }
  if ((proto.config_validators ?? []).length > 0) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field('config_validators'), 'config_validators are not supported')
  }
  const services = proto.grpc_services ?? []
  if (services.length !== 1) {
    const text = 'ApiConfigSource::(DELTA_)GRPC must have a single gRPC service specified'
    throw new ConfigError('CONFIG_INVALID', at.field('grpc_services'), text)
  }
  const limit = proto.rate_limit_settings
  return {
    target: grpcTarget(services[0]!, clusters, at.field('grpc_services').index(0)),
    maxTokens: limit === undefined ? 0 : (limit.max_tokens ?? 100),
    // Envoy's floor is a token a year; a rate of 0 would be a division by it.
    fillRate: Math.max(limit?.fill_rate ?? 10, 1e-6),
    nodeOnFirstMessageOnly: proto.set_node_on_first_message_only ?? false,
    delta: type === 'DELTA_GRPC',
  }
}

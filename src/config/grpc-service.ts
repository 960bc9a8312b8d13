import { ConfigError } from '../base/errors.ts'
import type { HeaderAddConfig, RetryPolicyConfig } from '../routing/route-config.ts'
import { parseCoreRetryPolicy } from './core-retry-policy.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { checkFormat } from './substitution-format.ts'
import { defineSupport } from './support.ts'

type Proto = envoy.config.core.v3.GrpcService
type EnvoyGrpc = envoy.config.core.v3.GrpcService_EnvoyGrpc

/** A gRPC service that the data plane calls, parsed and cloneable. */
export interface GrpcServiceConfig {
  /** Looked up at each call: as in Envoy the cluster need not exist when the configuration is loaded. */
  readonly cluster: string
  /** `:authority`; '' = the cluster's name. */
  readonly authority: string
  /** `timeout` in ms, -1 when it is not set: every user has its own default. */
  readonly timeout: number
  /** initial_metadata; values are format strings, which are only evaluated where a call belongs to a request. */
  readonly metadata: readonly HeaderAddConfig[]
  readonly retry: RetryPolicyConfig | null
  /** max_receive_message_length in bytes; 0 = not set. */
  readonly maxMessage: number
  /** Neither x-envoy-internal nor x-forwarded-for is sent. */
  readonly skipEnvoyHeaders: boolean
}

const SUPPORT = defineSupport<Proto>('envoy.config.core.v3.GrpcService', {
  envoy_grpc: 'yes',
  google_grpc: 'reject',
  timeout: 'yes',
  initial_metadata: 'yes',
  retry_policy: 'yes',
})

const ENVOY_SUPPORT = defineSupport<EnvoyGrpc>('envoy.config.core.v3.GrpcService.EnvoyGrpc', {
  cluster_name: 'yes',
  authority: 'yes',
  // Back-off of xDS streams only, says the API; where xDS is configured it is honoured.
  retry_policy: 'yes',
  max_receive_message_length: 'yes',
  skip_envoy_headers: 'yes',
})

/**
 * envoy.config.core.v3.GrpcService of everything the data plane calls: access log services, ext_authz, tracers, rate limits.
 * The control plane's own is read by xds/grpc-target.ts.
 * @throws ConfigError: google_grpc, formats that do not parse
 */
export function parseGrpcService(proto: Proto, at: FieldPath, warnings: string[]): GrpcServiceConfig {
  if (proto.google_grpc !== undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field('google_grpc'), 'google_grpc is not supported', {
      advice: 'use envoy_grpc with a cluster; its transport_socket gives TLS',
    })
  }
  SUPPORT.check(proto, at, warnings)
  const target = proto.envoy_grpc
  if (target === undefined) {
    throw new ConfigError('CONFIG_INVALID', at, 'a gRPC service needs envoy_grpc')
  }
  ENVOY_SUPPORT.check(target, at.field('envoy_grpc'), warnings)
  return {
    cluster: target.cluster_name ?? '',
    authority: target.authority ?? '',
    timeout: proto.timeout ?? -1,
    metadata: metadata(proto.initial_metadata ?? [], at.field('initial_metadata')),
    retry: parseCoreRetryPolicy(proto.retry_policy, '', at.field('retry_policy'), warnings),
    maxMessage: target.max_receive_message_length ?? 0,
    skipEnvoyHeaders: target.skip_envoy_headers ?? false,
  }
}

function metadata(protos: readonly envoy.config.core.v3.HeaderValue[], at: FieldPath): HeaderAddConfig[] {
  return protos.map((proto, i) => {
    const name = (proto.key ?? '').toLowerCase()
    if (name.startsWith(':') || name === 'host') {
      throw new ConfigError('CONFIG_INVALID', at.index(i), ':-prefixed or host headers may not be modified')
    }
    const raw = proto.raw_value
    const value = proto.value || (raw === undefined ? '' : Buffer.from(raw).toString('utf8'))
    checkFormat(value, at.index(i).field('value'))
    return { name, value, action: 'overwrite', keepEmpty: false }
  })
}

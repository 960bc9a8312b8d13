import { ConfigError } from '../../../base/errors.ts'
import { parseCoreRetryPolicy } from '../../../config/core-retry-policy.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../../config/grpc-service.ts'
import { defineSupport } from '../../../config/support.ts'
import type { CustomTagConfig } from '../../tracing-config.ts'
import { parseLogTags } from '../log-tags.ts'

export type CommonGrpcProto = envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig

/** What access loggers that send by gRPC have in common, parsed and cloneable. */
export interface CommonGrpcConfig {
  readonly logName: string
  /** With the retries of grpc_stream_retry_policy where it is set. */
  readonly service: GrpcServiceConfig
  /** ms; -1 = not set. */
  readonly flushInterval: number
  /** bytes; -1 = not set. */
  readonly bufferSize: number
  readonly filterState: readonly string[]
  readonly customTags: readonly CustomTagConfig[]
}

const SUPPORT = defineSupport<CommonGrpcProto>('envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig', {
  log_name: 'yes',
  grpc_service: 'yes',
  transport_api_version: 'yes',
  buffer_flush_interval: 'yes',
  buffer_size_bytes: 'yes',
  filter_state_objects_to_log: 'yes',
  grpc_stream_retry_policy: 'yes',
  custom_tags: 'yes',
})

export function parseCommonGrpc(proto: CommonGrpcProto, at: FieldPath, warnings: string[]): CommonGrpcConfig {
  SUPPORT.check(proto, at, warnings)
  if (proto.transport_api_version === 'V2') {
    const text =
      'V2 xDS transport protocol version is deprecated. The v2 xDS major version has been removed and is no longer supported.'
    throw new ConfigError('CONFIG_INVALID', at.field('transport_api_version'), text, { advice: 'set it to V3' })
  }
  const service = parseGrpcService(proto.grpc_service ?? {}, at.field('grpc_service'), warnings)
  const place = at.field('grpc_stream_retry_policy')
  const retry = parseCoreRetryPolicy(proto.grpc_stream_retry_policy, 'connect-failure', place, warnings)
  return {
    logName: proto.log_name ?? '',
    service: retry === null ? service : { ...service, retry },
    flushInterval: proto.buffer_flush_interval ?? -1,
    bufferSize: proto.buffer_size_bytes ?? -1,
    filterState: proto.filter_state_objects_to_log ?? [],
    customTags: parseLogTags(proto.custom_tags, at.field('custom_tags'), warnings),
  }
}

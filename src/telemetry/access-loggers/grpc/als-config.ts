import type { FieldPath } from '../../../config/field-path.ts'
import type { CustomTagConfig } from '../../tracing-config.ts'
import { type CommonGrpcConfig, type CommonGrpcProto, parseCommonGrpc } from './common-config.ts'
import { identityOf } from './identity.ts'

/** The common_config of a logger of the access log service, parsed and cloneable. */
export interface AlsConfig {
  /** Loggers of one kind that are configured the same share a stream. */
  readonly identity: string
  readonly service: CommonGrpcConfig['service']
  readonly logName: string
  readonly filterState: readonly string[]
  readonly customTags: readonly CustomTagConfig[]
  /** ms */
  readonly flushInterval: number
  /** bytes; 0 = every entry is sent at once. */
  readonly bufferSize: number
}

export function parseAls(proto: CommonGrpcProto | undefined, at: FieldPath, warnings: string[]): AlsConfig {
  const { flushInterval, bufferSize, ...common } = parseCommonGrpc(proto ?? {}, at, warnings)
  return {
    ...common,
    identity: identityOf(proto ?? {}),
    flushInterval: flushInterval < 0 ? 1000 : flushInterval,
    bufferSize: bufferSize < 0 ? 16384 : bufferSize,
  }
}

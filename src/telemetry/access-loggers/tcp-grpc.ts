import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import type { WorkerServices } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import type { AccessLogger, AccessLogType, FormatContext } from '../format-context.ts'
import { type AlsConfig, parseAls } from './grpc/als-config.ts'
import { CommonProperties } from './grpc/common-properties.ts'
import { type LogStream, logStream } from './grpc/log-stream.ts'

type Proto = envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig

const SUPPORT = defineSupport<Proto>('envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig', {
  common_config: 'yes',
})

/** envoy.access_loggers.tcp_grpc: entries of connections for an access log service. */
export const tcpGrpcAccessLog: ExtensionFactory<Proto, AlsConfig, never, AccessLogger> = {
  category: 'envoy.access_loggers',
  name: 'envoy.access_loggers.tcp_grpc',
  typeUrls: ['envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig'],
  parse(proto, at, warnings) {
    SUPPORT.check(proto, at, warnings)
    return parseAls(proto.common_config, at.field('common_config'), warnings)
  },
  create: (config, services) => new TcpGrpcLogger(config, services),
}

class TcpGrpcLogger implements AccessLogger {
  readonly #stream: LogStream
  readonly #common: CommonProperties

  constructor(config: AlsConfig, services: WorkerServices) {
    this.#stream = logStream('tcp', config, services)
    this.#common = new CommonProperties(config)
  }

  log(context: FormatContext, type: AccessLogType): void {
    const w = this.#stream.begin()
    if (w === null) return
    this.#common.write(w, context, type)
    const { bytesReceived, bytesSent } = context.info
    const connection = w.tagged(2)
    w.uintField(1, bytesReceived)
    w.uintField(2, bytesSent)
    w.close(connection)
    this.#stream.end()
  }
}

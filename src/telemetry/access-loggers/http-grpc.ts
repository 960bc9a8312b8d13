import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import type { WorkerServices } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import type { AccessLogger, AccessLogType, FormatContext } from '../format-context.ts'
import { type AlsConfig, parseAls } from './grpc/als-config.ts'
import { CommonProperties } from './grpc/common-properties.ts'
import { type HeadersToLog, writeHttp } from './grpc/http-properties.ts'
import { type LogStream, logStream } from './grpc/log-stream.ts'

type Proto = envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig

interface HttpGrpcConfig {
  readonly als: AlsConfig
  readonly headers: HeadersToLog
}

const SUPPORT = defineSupport<Proto>('envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
  common_config: 'yes',
  additional_request_headers_to_log: 'yes',
  additional_response_headers_to_log: 'yes',
  additional_response_trailers_to_log: 'yes',
})

/** envoy.access_loggers.http_grpc: entries for an access log service. */
export const httpGrpcAccessLog: ExtensionFactory<Proto, HttpGrpcConfig, never, AccessLogger> = {
  category: 'envoy.access_loggers',
  name: 'envoy.access_loggers.http_grpc',
  typeUrls: ['envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig'],
  parse(proto, at, warnings) {
    SUPPORT.check(proto, at, warnings)
    return {
      als: parseAls(proto.common_config, at.field('common_config'), warnings),
      headers: {
        request: lower(proto.additional_request_headers_to_log),
        response: lower(proto.additional_response_headers_to_log),
        trailers: lower(proto.additional_response_trailers_to_log),
      },
    }
  },
  create: (config, services) => new HttpGrpcLogger(config, services),
}

function lower(names: readonly string[] | undefined): string[] {
  return (names ?? []).map(name => name.toLowerCase())
}

class HttpGrpcLogger implements AccessLogger {
  readonly #stream: LogStream
  readonly #common: CommonProperties
  readonly #headers: HeadersToLog

  constructor(config: HttpGrpcConfig, services: WorkerServices) {
    this.#common = new CommonProperties(config.als)
    this.#headers = config.headers
    this.#stream = logStream('http', config.als, services)
  }

  log(context: FormatContext, type: AccessLogType): void {
    const w = this.#stream.begin()
    if (w === null) return
    this.#common.write(w, context, type)
    writeHttp(w, context, this.#headers)
    this.#stream.end()
  }
}

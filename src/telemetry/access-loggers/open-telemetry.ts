import type { ExtensionFactory } from '../../config/registry.ts'
import type { AccessLogger, AccessLogType, FormatContext } from '../format-context.ts'
import { setAccessLogType } from '../format-operators.ts'
import { type OpenTelemetryConfig, type OpenTelemetryProto, parseOpenTelemetry } from './open-telemetry/config.ts'
import { type OtlpExporter, otlpExporter } from './open-telemetry/exporter.ts'

/** envoy.access_loggers.open_telemetry */
export const openTelemetryAccessLog: ExtensionFactory<OpenTelemetryProto, OpenTelemetryConfig, never, AccessLogger> = {
  category: 'envoy.access_loggers',
  name: 'envoy.access_loggers.open_telemetry',
  typeUrls: ['envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig'],
  parse: parseOpenTelemetry,
  create: (config, services) => new OpenTelemetryLogger(otlpExporter(config, services)),
}

class OpenTelemetryLogger implements AccessLogger {
  readonly #exporter: OtlpExporter

  constructor(exporter: OtlpExporter) {
    this.#exporter = exporter
  }

  log(context: FormatContext, type: AccessLogType): void {
    setAccessLogType(type)
    this.#exporter.log(context)
  }
}

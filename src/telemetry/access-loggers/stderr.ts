import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import type { AccessLogger } from '../format-context.ts'
import { type FileAccessLogConfig, LineLogger, logFormat } from './file.ts'
import { fileWriter } from './file-writer.ts'

/** envoy.access_loggers.stderr */
export const stderrAccessLog: ExtensionFactory<
  envoy.extensions.access_loggers.stream.v3.StderrAccessLog,
  FileAccessLogConfig,
  never,
  AccessLogger
> = {
  category: 'envoy.access_loggers',
  name: 'envoy.access_loggers.stderr',
  typeUrls: ['envoy.extensions.access_loggers.stream.v3.StderrAccessLog'],
  parse: (proto, at) => ({ path: '/dev/stderr', format: logFormat(proto.log_format, at) }),
  create: (config, services) => new LineLogger(fileWriter(config.path, services), config.format),
}

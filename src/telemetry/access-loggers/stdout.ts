import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import type { AccessLogger } from '../format-context.ts'
import { type FileAccessLogConfig, LineLogger, logFormat } from './file.ts'
import { fileWriter } from './file-writer.ts'

/** envoy.access_loggers.stdout */
export const stdoutAccessLog: ExtensionFactory<
  envoy.extensions.access_loggers.stream.v3.StdoutAccessLog,
  FileAccessLogConfig,
  never,
  AccessLogger
> = {
  category: 'envoy.access_loggers',
  name: 'envoy.access_loggers.stdout',
  typeUrls: ['envoy.extensions.access_loggers.stream.v3.StdoutAccessLog'],
  parse: (proto, at) => ({ path: '/dev/stdout', format: logFormat(proto.log_format, at) }),
  create: (config, services) => new LineLogger(fileWriter(config.path, services), config.format),
}

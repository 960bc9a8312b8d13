import { findFactory } from '../../config/registry.ts'
import type { WorkerServices } from '../../config/services.ts'
import { type AccessLogFilter, compileAccessLogFilter } from '../access-log-filter.ts'
import type { AccessLogger, AccessLogType, FormatContext } from '../format-context.ts'
import type { AccessLogConfig } from './access-log-config.ts'

/** A logger on a worker, behind its filter. */
export function createAccessLogger(config: AccessLogConfig, services: WorkerServices): AccessLogger {
  const { category, typeUrl } = config.logger
  const factory = findFactory(category, typeUrl)
  if (factory === null) throw new Error(`access logger ${typeUrl} was parsed but is not registered on this worker`)
  const logger = factory.create(config.logger.config as never, services) as AccessLogger
  return config.filter === null ? logger : new FilteredLogger(logger, compileAccessLogFilter(config.filter, services))
}

class FilteredLogger implements AccessLogger {
  readonly #logger: AccessLogger
  readonly #filter: AccessLogFilter

  constructor(logger: AccessLogger, filter: AccessLogFilter) {
    this.#logger = logger
    this.#filter = filter
  }

  log(context: FormatContext, type: AccessLogType): void {
    if (this.#filter.passes(context, type)) this.#logger.log(context, type)
  }
}

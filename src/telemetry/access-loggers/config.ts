/** The parser stands in config/, where listeners can reach it; this is its name among the access loggers. */
export { parseAccessLog, parseAccessLogFilter, parseAccessLogs } from '../../config/access-log.ts'
export type { AccessLogConfig } from './access-log-config.ts'

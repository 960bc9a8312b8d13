import type { ParsedExtension } from '../../config/registry.ts'
import type { AccessLogFilterConfig } from '../access-log-filter-config.ts'

/** envoy.config.accesslog.v3.AccessLog, parsed and cloneable. */
export interface AccessLogConfig {
  readonly filter: AccessLogFilterConfig | null
  readonly logger: ParsedExtension
}

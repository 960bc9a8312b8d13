import type { CelNode } from '../config/cel.ts'
import type { FractionConfig, HeaderMatchConfig, MetadataMatchConfig } from '../config/matcher.ts'
import type { AccessLogType } from './format-context.ts'

/** envoy.config.accesslog.v3.ComparisonFilter; the value may come from runtime. */
export interface ComparisonConfig {
  readonly op: 'EQ' | 'GE' | 'LE' | 'NE'
  readonly value: number
  readonly runtimeKey: string
}

export type AccessLogFilterConfig =
  | { readonly kind: 'status'; readonly comparison: ComparisonConfig }
  | { readonly kind: 'duration'; readonly comparison: ComparisonConfig }
  | { readonly kind: 'notHealthCheck' }
  | { readonly kind: 'traceable' }
  | { readonly kind: 'runtime'; readonly fraction: FractionConfig; readonly independent: boolean }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly AccessLogFilterConfig[] }
  | { readonly kind: 'header'; readonly header: HeaderMatchConfig }
  /** Bits of `ResponseFlag`; 0 = any flag. */
  | { readonly kind: 'flags'; readonly mask: number }
  | { readonly kind: 'grpcStatus'; readonly statuses: readonly number[]; readonly exclude: boolean }
  | { readonly kind: 'metadata'; readonly matcher: MetadataMatchConfig | null; readonly ifMissing: boolean }
  | { readonly kind: 'cel'; readonly node: CelNode }
  | { readonly kind: 'logType'; readonly types: readonly AccessLogType[]; readonly exclude: boolean }

import type { FractionConfig } from '../config/matcher.ts'
import type { ParsedExtension } from '../config/registry.ts'

/** How the text of a format tag is sent; a text that is none of the type stays a string. */
export type TagType = 'string' | 'int' | 'double' | 'bool'

/** envoy.type.tracing.v3.CustomTag. */
export type CustomTagConfig = { readonly tag: string } & (
  | { readonly kind: 'literal'; readonly value: string }
  | { readonly kind: 'environment'; readonly name: string; readonly defaultValue: string }
  /** `name` in lower case. */
  | { readonly kind: 'requestHeader'; readonly name: string; readonly defaultValue: string }
  | {
      readonly kind: 'metadata'
      readonly source: 'request' | 'route' | 'cluster' | 'host'
      readonly key: string
      readonly path: readonly string[]
      readonly defaultValue: string
    }
  | { readonly kind: 'format'; readonly text: string; readonly type: TagType }
)

/** What a connection manager and a route have in common; a route that has tracing replaces all three samplings. */
export interface TracingLevelConfig {
  readonly clientSampling: FractionConfig
  readonly randomSampling: FractionConfig
  readonly overallSampling: FractionConfig
  readonly customTags: readonly CustomTagConfig[]
  /** Format texts of span names; '' = the tracer's own names. */
  readonly operation: string
  readonly upstreamOperation: string
}

/** envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing, parsed and cloneable. */
export interface TracingConfig extends TracingLevelConfig {
  readonly verbose: boolean
  /** Bytes of the path in the tag http.url. */
  readonly maxPathTagLength: number
  readonly spawnUpstreamSpan: boolean
  readonly noContextPropagation: boolean
  /** Null: requests are counted and their ids marked, but there are no spans. */
  readonly provider: ParsedExtension | null
}

/** envoy.config.route.v3.Decorator. */
export interface DecoratorConfig {
  /** Latin1. */
  readonly operation: string
  readonly propagate: boolean
}

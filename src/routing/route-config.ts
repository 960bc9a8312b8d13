import type { PackedList } from '../base/packed-values.ts'
import type {
  FractionConfig,
  HeaderMatchConfig,
  MetadataMatchConfig,
  NamedMatchConfig,
  StringMatchConfig,
} from '../config/matcher.ts'
import type { DecoratorConfig, TracingLevelConfig } from '../telemetry/tracing-config.ts'

/**
 * envoy.config.route.v3.RouteConfiguration after `config/route.ts`: checked, defaults filled in, plain and cloneable. Workers
 * make a `RouteTable` of it. Times are milliseconds. Texts that meet the wire are latin1 strings.
 */
export interface RouteConfig {
  readonly name: string
  readonly virtualHosts: VirtualHosts
  /** `vhost.<v>.route.<stat_prefix>.` and `vhost.<v>.vcluster.<c>.`, which have stats from load time. */
  readonly statPrefixes: readonly string[]
  readonly internalOnlyHeaders: readonly string[]
  readonly headers: HeaderMutationsConfig
  /** most_specific_header_mutations_wins. */
  readonly mostSpecificWins: boolean
  readonly maxDirectResponseBodySize: number
  readonly ignorePortInHostMatching: boolean
  /** Header that replaces the authority for the choice of the virtual host; '' = authority. */
  readonly vhostHeader: string
  readonly ignorePathParameters: boolean
  readonly filters: FilterOverridesConfig
  readonly mirrors: readonly MirrorConfig[]
  readonly metadata: JsonStruct | null
}

/** Of thousands of virtual hosts few see traffic, and only those are decoded. */
export type VirtualHosts = readonly VirtualHostConfig[] | PackedList<VirtualHostConfig>

export type JsonStruct = Readonly<Record<string, unknown>>

export interface VirtualHostConfig {
  readonly name: string
  /** Lower case, as configured with wildcards. */
  readonly domains: readonly string[]
  readonly routes: readonly RouteEntryConfig[]
  readonly requireTls: 'none' | 'external' | 'all'
  readonly virtualClusters: readonly { readonly name: string; readonly headers: readonly HeaderMatchConfig[] }[]
  readonly rateLimits: readonly RateLimitConfig[]
  readonly headers: HeaderMutationsConfig
  readonly filters: FilterOverridesConfig
  readonly includeRequestAttemptCount: boolean
  readonly includeAttemptCountInResponse: boolean
  readonly includeIsTimeoutRetryHeader: boolean
  readonly metadata: JsonStruct | null
}

/** One of `rate_limits`: what is counted of a request. Texts are latin1. */
export interface RateLimitConfig {
  readonly stage: number
  /** disable_key: switches it off by runtime; '' = none. */
  readonly disableKey: string
  readonly onStreamDone: boolean
  readonly actions: readonly RateLimitActionConfig[]
  /** limit: instead of what the rate limit service has; null = none. */
  readonly limit: LimitOverrideConfig | null
  readonly hits: number
  /** hits_addend is set. */
  readonly countsHits: boolean
  /** Format of the number of hits; '' = `hits`. */
  readonly hitsFormat: string
  readonly gives: boolean
  /** x_ratelimit_option; undefined = as the filter says. */
  readonly headers: boolean | undefined
}

export type LimitOverrideConfig =
  /** Where in dynamic metadata. */
  | { readonly kind: 'metadata'; readonly filter: string; readonly path: readonly string[] }
  | { readonly kind: 'fixed'; readonly requests: number; readonly unit: LimitUnit }

/** envoy.type.v3.RateLimitUnit by its number. */
export const LIMIT_UNITS = ['UNKNOWN', 'SECOND', 'MINUTE', 'HOUR', 'DAY', 'MONTH', 'YEAR'] as const
export type LimitUnit = (typeof LIMIT_UNITS)[number]

export type RateLimitActionConfig =
  | { readonly kind: 'sourceCluster' }
  | { readonly kind: 'destinationCluster' }
  /** Prefix lengths, -1 = the whole address under another key. */
  | { readonly kind: 'address'; readonly v4: number; readonly v6: number }
  /** `optional`: without the header there is no entry, but a descriptor. */
  | { readonly kind: 'header' | 'query'; readonly name: string; readonly key: string; readonly optional: boolean }
  | { readonly kind: 'constant'; readonly key: string; readonly value: string }
  | {
      readonly kind: 'headerMatch'
      readonly key: string
      readonly value: string
      readonly expected: boolean
      readonly headers: readonly HeaderMatchConfig[]
    }
  | {
      readonly kind: 'queryMatch'
      readonly key: string
      readonly value: string
      readonly expected: boolean
      readonly query: readonly NamedMatchConfig[]
    }
  | {
      readonly kind: 'addressMatch'
      readonly key: string
      readonly value: string
      readonly ranges: readonly string[]
      readonly invert: boolean
    }
  | {
      readonly kind: 'metadata'
      readonly source: 'dynamic' | 'route'
      readonly key: string
      readonly filter: string
      readonly path: readonly string[]
      readonly otherwise: string
      readonly optional: boolean
    }

/** typed_per_filter_config by filter name, each parsed by the filter's factory. */
export type FilterOverridesConfig = Readonly<Record<string, FilterOverrideConfig>>

export interface FilterOverrideConfig {
  /** FilterConfig.disabled; undefined when it was not wrapped or only carries a config. */
  readonly disabled: boolean | undefined
  /** What `parseOverride` returned; undefined when the entry only disables. */
  readonly config: unknown
}

/** One level of header mutations: removals happen before additions. */
export interface HeaderMutationsConfig {
  readonly requestAdd: readonly HeaderAddConfig[]
  readonly requestRemove: readonly string[]
  readonly responseAdd: readonly HeaderAddConfig[]
  readonly responseRemove: readonly string[]
}

export interface HeaderAddConfig {
  /** Lower case. */
  readonly name: string
  /** Format text. */
  readonly value: string
  readonly action: 'append' | 'ifAbsent' | 'overwrite' | 'overwriteIfExists'
  readonly keepEmpty: boolean
}

export interface RouteEntryConfig {
  readonly name: string
  readonly match: RouteMatchConfig
  /** Exactly one of the next four is set. */
  readonly action: RouteActionConfig | null
  readonly redirect: RedirectConfig | null
  readonly directResponse: DirectResponseConfig | null
  readonly nonForwarding: boolean
  readonly metadata: JsonStruct | null
  readonly headers: HeaderMutationsConfig
  readonly filters: FilterOverridesConfig
  readonly statPrefix: string
  readonly tracing: TracingLevelConfig | null
  readonly decorator: DecoratorConfig | null
}

export interface RouteMatchConfig {
  readonly kind: 'prefix' | 'path' | 'regex' | 'separated' | 'connect' | 'template'
  readonly text: string
  readonly caseSensitive: boolean
  readonly fraction: FractionConfig | null
  readonly headers: readonly HeaderMatchConfig[]
  readonly query: readonly NamedMatchConfig[]
  readonly cookies: readonly NamedMatchConfig[]
  readonly grpc: boolean
  readonly tls: { readonly presented: boolean | null; readonly validated: boolean | null } | null
  readonly dynamicMetadata: readonly MetadataMatchConfig[]
  readonly filterState: readonly FilterStateMatchConfig[]
}

export interface FilterStateMatchConfig {
  readonly key: string
  readonly match: StringMatchConfig
}

export interface RegexRewriteConfig {
  readonly pattern: string
  readonly substitution: string
}

export type PathRewriteConfig =
  | { readonly kind: 'prefix'; readonly text: string }
  | { readonly kind: 'regex'; readonly rewrite: RegexRewriteConfig }
  | { readonly kind: 'format'; readonly text: string }
  | { readonly kind: 'template'; readonly text: string }

export type HostRewriteConfig =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'pathRegex'; readonly rewrite: RegexRewriteConfig }
  | { readonly kind: 'format'; readonly text: string }
  | { readonly kind: 'auto' }

export type ClusterChoiceConfig =
  | { readonly kind: 'cluster'; readonly name: string }
  | { readonly kind: 'header'; readonly name: string }
  | {
      readonly kind: 'weighted'
      readonly clusters: readonly WeightedClusterConfig[]
      readonly runtimeKeyPrefix: string
      /** Header whose value is hashed instead of the stream's random number; '' = none. */
      readonly headerName: string
      readonly useHashPolicy: boolean
    }

export interface WeightedClusterConfig {
  readonly name: string
  /** Set instead of `name`; '' otherwise. */
  readonly clusterHeader: string
  readonly weight: number
  readonly metadataMatch: JsonStruct | null
  readonly headers: HeaderMutationsConfig
  readonly filters: FilterOverridesConfig
  readonly hostRewriteLiteral: string
}

export interface RouteActionConfig {
  readonly cluster: ClusterChoiceConfig
  readonly clusterNotFoundCode: number
  readonly metadataMatch: JsonStruct | null
  readonly pathRewrite: PathRewriteConfig | null
  readonly hostRewrite: HostRewriteConfig | null
  readonly appendXForwardedHost: boolean
  readonly timeout: number
  /** -1 = the connection manager's. */
  readonly idleTimeout: number
  readonly retry: RetryPolicyConfig | null
  readonly mirrors: readonly MirrorConfig[]
  readonly priority: 0 | 1
  readonly rateLimits: readonly RateLimitConfig[]
  readonly includeVirtualHostRateLimits: boolean
  readonly hashPolicies: readonly HashPolicyConfig[]
  readonly maxGrpcTimeout: number
  readonly grpcTimeoutOffset: number
  readonly maxStreamDuration: number
  readonly grpcTimeoutHeaderMax: number
  readonly grpcTimeoutHeaderOffset: number
  /** Lower-case upgrade type → enabled. */
  readonly upgrades: Readonly<Record<string, boolean>> | null
  readonly terminateConnect: boolean
  /** So does a POST. */
  readonly terminatePost: boolean
  readonly internalRedirect: InternalRedirectConfig | null
  readonly hedge: HedgeConfig | null
  /** Bytes; -1 = the connection's buffer limit. */
  readonly requestBufferLimit: number
}

export interface HedgeConfig {
  readonly hedgeOnPerTryTimeout: boolean
}

export interface MirrorConfig {
  readonly cluster: string
  readonly clusterHeader: string
  readonly fraction: FractionConfig
  readonly traceSampled: boolean | undefined
  readonly disableHostSuffix: boolean
  readonly hostRewriteLiteral: string
}

export interface InternalRedirectConfig {
  readonly maxInternalRedirects: number
  readonly redirectResponseCodes: readonly number[]
  readonly allowCrossScheme: boolean
  readonly safeCrossSchemeOnly: boolean
  readonly responseHeadersToCopy: readonly string[]
  readonly previousRoutes: boolean
  readonly allowListedRoutes: readonly string[] | null
}

export type HashPolicyConfig = { readonly terminal: boolean } & (
  | { readonly kind: 'header'; readonly name: string; readonly rewrite: RegexRewriteConfig | null }
  | {
      readonly kind: 'cookie'
      readonly name: string
      /** Milliseconds; -1 = never generate the cookie. */
      readonly ttl: number
      readonly path: string
      readonly attributes: readonly { readonly name: string; readonly value: string }[]
    }
  | { readonly kind: 'sourceIp' }
  | { readonly kind: 'query'; readonly name: string }
  | { readonly kind: 'filterState'; readonly key: string }
)

export interface RetryPolicyConfig {
  /** Bits of `RetryOn`. */
  readonly retryOn: number
  readonly numRetries: number
  readonly perTryTimeout: number
  readonly perTryIdleTimeout: number
  readonly retriableStatusCodes: readonly number[]
  readonly retriableHeaders: readonly HeaderMatchConfig[]
  readonly retriableRequestHeaders: readonly HeaderMatchConfig[]
  /** 0 = not configured: base 25 ms from runtime, max ten times the base. */
  readonly backOffBase: number
  readonly backOffMax: number
  readonly resetHeaders: readonly { readonly name: string; readonly format: 'seconds' | 'timestamp' }[]
  readonly resetMaxInterval: number
  readonly previousHosts: boolean
  readonly omitCanaryHosts: boolean
  /** omit_host_metadata; null = none. */
  readonly omitHostMetadata: JsonStruct | null
  /** previous_priorities update_frequency; 0 = none. */
  readonly previousPriorities: number
  readonly hostSelectionMaxAttempts: number
}

export interface RedirectConfig {
  readonly code: number
  /** `https` for https_redirect; '' = keep. */
  readonly scheme: string
  readonly host: string
  /** 0 = keep. */
  readonly port: number
  readonly path: string
  readonly prefixRewrite: string
  readonly regexRewrite: RegexRewriteConfig | null
  readonly pathFormat: string
  readonly stripQuery: boolean
}

export interface DirectResponseConfig {
  readonly status: number
  readonly body: Uint8Array | null
  /** SubstitutionFormatString as the formatter takes it; null when there is none. */
  readonly bodyFormat: import('../config/format-string.ts').FormatConfig | null
}

import type { HeaderBlock } from '../codec/header-block.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import type { DecoratorConfig } from '../telemetry/tracing-config.ts'
import type { TracingLevel } from '../telemetry/tracing-level.ts'
import type { RateLimit } from './rate-limit.ts'

/**
 * What the route table gives the connection manager and the router. Implemented by `route-table.ts` (materialised once per
 * worker and route configuration, immutable, swapped by reference); everything here is resolved before traffic.
 */
export interface RouteTable {
  readonly name: string
  /**
   * Virtual host by authority (exact → suffix → prefix → `*`), then the first route that matches.
   * `random`: 64-bit-ish uniform number in [0, 2^53) per stream (weighted clusters, runtime fractions).
   * Null = no route.
   */
  route(h: HeaderBlock, info: StreamInfo, random: number): Route | null
  /** True when a virtual host with this authority exists (404 vs. vhost-level decisions, /explain). */
  readonly maxDirectResponseBodySize: number
  /** internal_only_headers, lower case: taken off external requests. */
  readonly internalOnlyHeaders: readonly string[]
}

export interface VirtualHost {
  readonly name: string
  /** include_request_attempt_count / include_attempt_count_in_response. */
  readonly includeRequestAttemptCount: boolean
  readonly includeAttemptCountInResponse: boolean
  readonly includeIsTimeoutRetryHeader: boolean
  /** `filter_metadata` by name; null = none. */
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly rateLimits: readonly RateLimit[]
  /** `vhost.<name>.vcluster.<c>.` virtual clusters; null when none match. */
  virtualCluster(h: HeaderBlock): string | null
}

/** The matched route. Exactly one of `redirect`, `directResponse`, `action`, `nonForwarding` applies. */
export interface Route {
  readonly name: string
  readonly virtualHost: VirtualHost
  readonly statPrefix: string
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly redirect: Redirect | null
  readonly directResponse: DirectResponse | null
  readonly action: RouteAction | null
  /** Instead of the connection manager's sampling and span names, and before its tags; null = as the connection manager says. */
  readonly tracing: TracingLevel | null
  readonly decorator: DecoratorConfig | null
  /** Most specific typed_per_filter_config for a filter (weighted cluster → route → virtual host → route config), parsed; undefined when none. */
  filterConfig(filterName: string): unknown
  /** All levels, least specific first, for filters that merge. */
  filterConfigs(filterName: string): readonly unknown[]
  /** False: `filterDisabled` is undefined for every filter, nobody need ask. */
  readonly mayDisableFilters: boolean
  /** True when typed_per_filter_config disables (true) or enables (false) the filter; undefined = the chain's default. */
  filterDisabled(filterName: string): boolean | undefined
  /** request_headers_to_add/remove of weighted cluster, route, virtual host, route configuration in Envoy's order. */
  mutateRequest(h: HeaderBlock, context: FormatContext): void
  mutateResponse(h: HeaderBlock, context: FormatContext): void
}

export interface Redirect {
  readonly code: number
  /** Absolute `location` for this request; path_rewrite formats need the context. */
  location(h: HeaderBlock, context?: FormatContext | null): string
  /** The path a prefix, regex or format rewrite makes of the request's; '' = there is none. */
  rewrittenPath(h: HeaderBlock, context?: FormatContext | null): string
}

export interface DirectResponse {
  readonly status: number
  readonly body: Uint8Array | null
  /** body_format, when set: formats instead of `body`. */
  format(context: FormatContext): string | null
  readonly contentType: string
}

export interface RouteAction {
  /** Cluster for this request (static, weighted by `random`, cluster_header, cluster specifier); '' when the header is missing. */
  readonly clusterName: string
  readonly clusterNotFoundCode: number
  /** Route timeout in ms; 0 = none; default 15000. */
  readonly timeout: number
  /** Stream idle timeout of the route in ms; -1 = the connection manager's. */
  readonly idleTimeout: number
  /** max_stream_duration of the route in ms; -1 = not set. */
  readonly maxStreamDuration: number
  /** grpc_timeout_header_max in ms; -1 = header not honoured. */
  readonly grpcTimeoutHeaderMax: number
  readonly grpcTimeoutHeaderOffset: number
  readonly maxGrpcTimeout: number
  readonly grpcTimeoutOffset: number
  readonly retry: RetryPolicy | null
  readonly hedge: HedgePolicy | null
  readonly shadows: readonly ShadowPolicy[]
  readonly internalRedirect: InternalRedirectPolicy | null
  readonly priority: 0 | 1
  /** Subset match criteria (`envoy.lb`) merged from route and weighted cluster; null when none. */
  readonly metadataMatch: Readonly<Record<string, unknown>> | null
  /** Upgrade types by lower-case name → enabled; null = the connection manager's. */
  readonly upgrades: Readonly<Record<string, boolean>> | null
  /** A CONNECT ends here: its bytes go to the upstream as TCP (connect_config). */
  readonly terminateConnect: boolean
  /** So does a POST. */
  readonly terminatePost: boolean
  readonly rateLimits: readonly RateLimit[]
  readonly includeVirtualHostRateLimits: boolean
  /** Request body bytes kept for retries and shadows; default = the connection's buffer limit. */
  readonly requestBufferLimit: number
  readonly appendXForwardedHost: boolean
  readonly autoHostRewrite: boolean
  /** Rewrites :path (prefix_rewrite, regex_rewrite, path_rewrite_policy) and :authority; sets x-envoy-original-path when asked. */
  /** `keepOriginal` false (suppress_envoy_headers): no x-envoy-original-path and -host. */
  rewrite(h: HeaderBlock, context: FormatContext, upstreamHostname: string, keepOriginal?: boolean): void
  /** Hash of the hash policies; null when none produced one. May set a cookie: `responseCookie` then has the Set-Cookie value. */
  hash(h: HeaderBlock, info: StreamInfo): { readonly hash: bigint | null; readonly responseCookie: string } | null
}

/** Bits of `retry_on` and `x-envoy-retry-on` / `x-envoy-retry-grpc-on`. */
export const RetryOn = {
  FiveXx: 1,
  GatewayError: 2,
  ConnectFailure: 4,
  Retriable4xx: 8,
  RefusedStream: 16,
  RetriableStatusCodes: 32,
  RetriableHeaders: 64,
  Reset: 128,
  ResetBeforeRequest: 256,
  EnvoyRatelimited: 512,
  Http3PostConnectFailure: 1024,
  GrpcCancelled: 2048,
  GrpcDeadlineExceeded: 4096,
  GrpcInternal: 8192,
  GrpcResourceExhausted: 16384,
  GrpcUnavailable: 32768,
} as const

export interface RetryPolicy {
  /** Bit set over `RetryOn`; 0 = none by config (headers may still add). */
  readonly retryOn: number
  readonly numRetries: number
  /** What holds for requests whose headers say nothing about retries. */
  readonly asConfigured: import('./retry.ts').RetryOverrides
  /** ms; 0 = route timeout. */
  readonly perTryTimeout: number
  readonly perTryIdleTimeout: number
  readonly retriableStatusCodes: readonly number[]
  matchesRetriableHeaders(h: HeaderBlock): boolean
  matchesRetriableRequestHeaders(h: HeaderBlock): boolean
  readonly backOffBase: number
  readonly backOffMax: number
  /** rate_limited_retry_back_off: delay in ms from reset headers; -1 when none applies. */
  rateLimitedDelay(h: HeaderBlock, wall: number): number
  /** previous_hosts, omit_canary_hosts, omit_host_metadata: may these attempts use this host? */
  rejectHost(host: import('../upstream/upstream.ts').Host, attempted: readonly string[]): boolean
  readonly hostSelectionRetryMaxAttempts: number
  /** update_frequency of previous_priorities; 0 = no retry_priority. */
  readonly previousPriorities: number
}

export interface HedgePolicy {
  readonly hedgeOnPerTryTimeout: boolean
}

export interface ShadowPolicy {
  readonly cluster: string
  readonly clusterHeader: string
  /** Decides by runtime fraction. */
  sampled(random: number): boolean
  readonly traceSampled: boolean | undefined
  readonly disableHostSuffix: boolean
}

export interface InternalRedirectPolicy {
  readonly maxInternalRedirects: number
  readonly redirectResponseCodes: readonly number[]
  readonly allowCrossScheme: boolean
  readonly safeCrossSchemeOnly: boolean
  readonly responseHeadersToCopy: readonly string[]
  readonly previousRoutes: boolean
  readonly allowListedRoutes: readonly string[] | null
}

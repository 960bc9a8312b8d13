import type { Http1Options } from '../codec/http1/options.ts'
import type { DiscoveredConfig } from '../config/discovered.ts'
import type { ParsedExtension } from '../config/registry.ts'
import type { RouteConfig } from '../routing/route-config.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/config.ts'
import type { TracingConfig } from '../telemetry/tracing-config.ts'
import type { LocalReplyConfig } from './local-reply-config.ts'
import type { XffDetection } from './original-ip-detection/xff.ts'

/** One HTTP filter of a chain as parsed: `factory` is the registered factory name, `config` what its parse() gave. */
export interface HttpFilterConfig {
  readonly name: string
  readonly factory: string
  readonly config: unknown
  /** Off unless a route turns it on. */
  readonly disabled: boolean
  /** Where factory and configuration come from; null: they are here. */
  readonly discovered: DiscoveredConfig | null
}

export interface UpgradeConfig {
  /** Lower case, e.g. `websocket`, `connect`. */
  readonly type: string
  readonly enabled: boolean
  /** Own filter chain; null = the connection manager's. */
  readonly filters: readonly HttpFilterConfig[] | null
}

export type ServerHeaderTransformation = 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH'
export type ForwardClientCert = 'SANITIZE' | 'FORWARD_ONLY' | 'APPEND_FORWARD' | 'SANITIZE_SET' | 'ALWAYS_FORWARD_ONLY'
export type EscapedSlashes = 'KEEP_UNCHANGED' | 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD'
export type UnderscoresAction = 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER'

/**
 * envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, parsed: plain data, cloneable, defaults
 * filled in. Times are milliseconds, 0 = off.
 */
export interface HcmConfig {
  readonly statPrefix: string
  readonly codecType: 'AUTO' | 'HTTP1' | 'HTTP2'
  readonly http1: Http1Options
  /** Options of codec/http2, with the limits above put in. */
  readonly http2: import('../codec/http2/options.ts').Http2Options
  readonly routeConfig: RouteConfig | null
  /** RDS name when `routeConfig` is null. */
  readonly rdsName: string
  readonly filters: readonly HttpFilterConfig[]
  readonly upgrades: readonly UpgradeConfig[]
  readonly serverName: string
  readonly serverHeader: ServerHeaderTransformation
  readonly schemeToOverwrite: string
  readonly connectionIdleTimeout: number
  readonly maxConnectionDuration: number
  readonly maxStreamDuration: number
  readonly streamIdleTimeout: number
  readonly requestTimeout: number
  readonly requestHeadersTimeout: number
  readonly drainTimeout: number
  readonly delayedCloseTimeout: number
  /** 0 = unlimited. */
  readonly maxRequestsPerConnection: number
  readonly underscores: UnderscoresAction
  readonly accessLogs: readonly AccessLogConfig[]
  readonly useRemoteAddress: boolean
  readonly xffNumTrustedHops: number
  readonly skipXffAppend: boolean
  /** original_ip_detection_extensions in their order; the first that finds an address decides. Never with useRemoteAddress. */
  readonly originalIpDetection: readonly XffDetection[]
  /** early_header_mutation_extensions in their order. */
  readonly earlyMutations: readonly ParsedExtension[]
  readonly appendXForwardedPort: boolean
  /** Upstream PROXY headers tell the addresses of the connection that a request came on. */
  readonly addProxyProtocolConnectionState: boolean
  /** CIDR ranges as text, `10.0.0.0/8`; empty = nothing is internal. */
  readonly internalRanges: readonly string[]
  readonly internalUnixSockets: boolean
  readonly via: string
  readonly addUserAgent: boolean
  readonly generateRequestId: boolean
  readonly preserveExternalRequestId: boolean
  readonly alwaysSetRequestIdInResponse: boolean
  /** Of the UUID request id extension: the id says why a request is traced, and decides which ones are. */
  readonly packTraceReason: boolean
  readonly sampleByRequestId: boolean
  readonly tracing: TracingConfig | null
  readonly forwardClientCert: ForwardClientCert
  readonly clientCertDetails: ClientCertDetails
  readonly proxy100Continue: boolean
  readonly normalizePath: boolean
  readonly mergeSlashes: boolean
  readonly escapedSlashes: EscapedSlashes
  readonly localReply: LocalReplyConfig | null
  readonly stripMatchingHostPort: boolean
  readonly stripAnyHostPort: boolean
  readonly stripTrailingHostDot: boolean
}

export interface ClientCertDetails {
  readonly subject: boolean
  readonly cert: boolean
  readonly chain: boolean
  readonly dns: boolean
  readonly uri: boolean
}

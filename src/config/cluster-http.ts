import { ConfigError } from '../base/errors.ts'
import type { UpstreamHttpConfig } from '../upstream/cluster-config.ts'
import type { ClusterParser } from './cluster.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'

type Cluster = envoy.config.cluster.v3.Cluster
type Options = envoy.extensions.upstreams.http.v3.HttpProtocolOptions

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const TCP_OPTIONS = 'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions'

/**
 * The HttpProtocolOptions extension, or the cluster's own deprecated fields when it is absent (it wins when both are there,
 * as in Envoy).
 */
export function parseUpstreamHttp(proto: Cluster, at: FieldPath, parser: ClusterParser): UpstreamHttpConfig {
  const options = findOptions(proto, at)
  const common = options?.common_http_protocol_options ?? proto.common_http_protocol_options ?? {}
  const upstream = options?.upstream_http_protocol_options ?? proto.upstream_http_protocol_options ?? {}
  const { protocol, http1, http2 } = options === undefined ? legacy(proto) : selected(options, proto.name ?? '', at)
  if (options !== undefined) checkOptions(options, at, parser)
  const limits = { maxHeadersKb: common.max_response_headers_kb ?? 0, maxHeadersCount: common.max_headers_count ?? 100 }
  return {
    protocol,
    ...parser.protocolOptions(http1, http2, limits, at),
    // An explicit 0 switches it off; absent is one hour (upstream_impl.cc).
    idleTimeout: common.idle_timeout ?? 3600000,
    maxConnectionDuration: common.max_connection_duration ?? 0,
    maxConnectionDurationJitter: (common.max_connection_duration_jitter?.value ?? 0) / 100,
    maxStreamDuration: common.max_stream_duration ?? 0,
    maxRequestsPerConnection: common.max_requests_per_connection ?? proto.max_requests_per_connection ?? 0,
    maxConcurrentStreams: http2.max_concurrent_streams ?? 1024,
    autoSni: upstream.auto_sni ?? false,
    autoSanValidation: upstream.auto_san_validation ?? false,
    overrideAutoSniHeader: (upstream.override_auto_sni_header ?? '').toLowerCase(),
    filters:
      (options?.http_filters ?? []).length === 0
        ? null
        : parser.httpFilters(options!.http_filters!, at.field('typed_extension_protocol_options').key(HTTP_OPTIONS)),
  }
}

function findOptions(proto: Cluster, at: FieldPath): Options | undefined {
  let found: Options | undefined
  for (const [name, any] of Object.entries(proto.typed_extension_protocol_options ?? {})) {
    // Envoy looks the factory up by the map key.
    if (name === HTTP_OPTIONS) {
      found = (any.message ?? {}) as Options
    } else if (name === TCP_OPTIONS) {
      throw new ConfigError('CONFIG_UNSUPPORTED', at, `${TCP_OPTIONS} is not supported`)
    } else if (name !== 'envoy.filters.network.http_connection_manager') {
      throw new ConfigError(
        'CONFIG_UNREGISTERED',
        at.field('typed_extension_protocol_options').key(name),
        `Didn't find a registered network or http filter or protocol options implementation for name: '${name}'`,
      )
    }
  }
  return found
}

interface Selection {
  protocol: UpstreamHttpConfig['protocol']
  http1: envoy.config.core.v3.Http1ProtocolOptions
  http2: envoy.config.core.v3.Http2ProtocolOptions
}

function legacy(proto: Cluster): Selection {
  const downstream = proto.protocol_selection === 'USE_DOWNSTREAM_PROTOCOL'
  return {
    protocol: downstream ? 'downstream' : proto.http2_protocol_options !== undefined ? 'http2' : 'http1',
    http1: proto.http_protocol_options ?? {},
    http2: proto.http2_protocol_options ?? {},
  }
}

function selected(options: Options, cluster: string, at: FieldPath): Selection {
  const explicit = options.explicit_http_config
  if (explicit !== undefined) {
    if (explicit.http3_protocol_options !== undefined) {
      throw new ConfigError(
        'CONFIG_UNSUPPORTED',
        at,
        `HTTP3 requires a QuicUpstreamTransport transport socket: ${cluster}`,
        {
          advice: 'HTTP/3 is not supported: use http2_protocol_options',
        },
      )
    }
    return {
      protocol: explicit.http2_protocol_options !== undefined ? 'http2' : 'http1',
      http1: explicit.http_protocol_options ?? {},
      http2: explicit.http2_protocol_options ?? {},
    }
  }
  const flexible = options.use_downstream_protocol_config ?? options.auto_config ?? {}
  if (flexible.http3_protocol_options !== undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'http3_protocol_options is not supported')
  }
  return {
    protocol: options.auto_config !== undefined ? 'auto' : 'downstream',
    http1: flexible.http_protocol_options ?? {},
    http2: flexible.http2_protocol_options ?? {},
  }
}

function checkOptions(options: Options, at: FieldPath, parser: ClusterParser): void {
  const refuse = (field: string): never => {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, `HttpProtocolOptions.${field} is not supported`)
  }
  if ((options.request_mirror_policies ?? []).length > 0) refuse('request_mirror_policies')
  if ((options.hash_policy ?? []).length > 0) refuse('hash_policy')
  if (options.retry_policy !== undefined) refuse('retry_policy')
  if (options.outlier_detection?.error_matcher !== undefined) refuse('outlier_detection.error_matcher')
  if (options.header_validation_config !== undefined)
    parser.warn('HttpProtocolOptions.header_validation_config is not acted on')
}

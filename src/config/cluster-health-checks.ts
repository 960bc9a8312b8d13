import { ConfigError } from '../base/errors.ts'
import type {
  HealthCheckConfig,
  HealthCheckerConfig,
  HealthCheckHeader,
  ServiceNameMatcher,
  UpstreamHttpConfig,
} from '../upstream/cluster-config.ts'
import type { ClusterParser } from './cluster.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'

type HealthCheck = envoy.config.core.v3.HealthCheck

export function parseHealthChecks(
  list: readonly HealthCheck[],
  cluster: string,
  http: UpstreamHttpConfig,
  at: FieldPath,
  parser: ClusterParser,
): HealthCheckConfig[] {
  if (list.length > 1) {
    for (let i = 0; i < list.length; i++) {
      if ((list[i]!.name ?? '') !== '') continue
      throw new ConfigError(
        'CONFIG_INVALID',
        at.index(i),
        `health check at index ${i} is missing a name; all health checks must have a name when multiple health checks are configured`,
      )
    }
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'more than one health check per cluster is not supported')
  }
  return list.map((p, i) => parseHealthCheck(p, cluster, http, at.index(i), parser))
}

function parseHealthCheck(
  p: HealthCheck,
  cluster: string,
  http: UpstreamHttpConfig,
  at: FieldPath,
  parser: ClusterParser,
): HealthCheckConfig {
  if (p.event_service !== undefined) parser.warn(`${at}.event_service is not acted on`)
  if ((p.event_logger ?? []).length > 0) parser.warn(`${at}.event_logger is not acted on: use event_log_path`)
  if (p.alt_port !== undefined)
    parser.warn(`${at}.alt_port is not acted on: use endpoint health_check_config.port_value`)
  const interval = p.interval ?? 0
  const unhealthyInterval = p.unhealthy_interval ?? interval
  const noTrafficInterval = p.no_traffic_interval ?? 60000
  return {
    timeout: p.timeout ?? 0,
    interval,
    initialJitter: p.initial_jitter ?? 0,
    intervalJitter: p.interval_jitter ?? 0,
    intervalJitterPercent: p.interval_jitter_percent ?? 0,
    unhealthyThreshold: p.unhealthy_threshold ?? 1,
    healthyThreshold: p.healthy_threshold ?? 1,
    reuseConnection: p.reuse_connection ?? true,
    noTrafficInterval,
    noTrafficHealthyInterval: p.no_traffic_healthy_interval ?? noTrafficInterval,
    unhealthyInterval,
    unhealthyEdgeInterval: p.unhealthy_edge_interval ?? unhealthyInterval,
    healthyEdgeInterval: p.healthy_edge_interval ?? interval,
    eventLogPath: p.event_log_path ?? '',
    alwaysLogFailures: p.always_log_health_check_failures ?? false,
    alwaysLogSuccess: p.always_log_health_check_success ?? false,
    alpnProtocols: p.tls_options?.alpn_protocols ?? [],
    transportSocketMatchCriteria: p.transport_socket_match_criteria ?? null,
    checker: parseChecker(p, cluster, http, at),
  }
}

function parseChecker(p: HealthCheck, cluster: string, http: UpstreamHttpConfig, at: FieldPath): HealthCheckerConfig {
  if (p.http_health_check !== undefined) return parseHttp(p.http_health_check, cluster, at.field('http_health_check'))
  if (p.tcp_health_check !== undefined) {
    if (p.tcp_health_check.proxy_protocol_config !== undefined) {
      throw new ConfigError('CONFIG_UNSUPPORTED', at, 'tcp_health_check.proxy_protocol_config is not supported')
    }
    return {
      kind: 'tcp',
      send: payload(p.tcp_health_check.send, at),
      receive: (p.tcp_health_check.receive ?? []).map(r => payload(r, at) ?? new Uint8Array()),
    }
  }
  if (p.grpc_health_check !== undefined) {
    if (http.protocol === 'http1') {
      throw new ConfigError('CONFIG_INVALID', at, `${cluster} cluster must support HTTP/2 for gRPC healthchecking`)
    }
    return {
      kind: 'grpc',
      serviceName: p.grpc_health_check.service_name ?? '',
      authority: p.grpc_health_check.authority ?? '',
      headersToAdd: headers(p.grpc_health_check.initial_metadata ?? [], at),
    }
  }
  throw new ConfigError('CONFIG_UNSUPPORTED', at, 'custom_health_check is not supported')
}

function parseHttp(
  p: envoy.config.core.v3.HealthCheck_HttpHealthCheck,
  cluster: string,
  at: FieldPath,
): HealthCheckerConfig {
  if (p.codec_client_type === 'HTTP3')
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'HTTP3 health checks are not supported')
  if (p.use_alpn_protocol === true)
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'use_alpn_protocol is not supported')
  const method = String(p.method ?? 'GET')
  return {
    kind: 'http',
    host: p.host || cluster,
    path: p.path ?? '/',
    method: method === 'METHOD_UNSPECIFIED' ? 'GET' : method,
    http2: p.codec_client_type === 'HTTP2',
    expectedStatuses:
      (p.expected_statuses ?? []).length === 0 ? [200, 201] : ranges(p.expected_statuses ?? [], 'expected', at),
    retriableStatuses: ranges(p.retriable_statuses ?? [], 'retriable', at),
    headersToAdd: headers(p.request_headers_to_add ?? [], at),
    headersToRemove: (p.request_headers_to_remove ?? []).map(n => n.toLowerCase()),
    receive: (p.receive ?? []).map(r => payload(r, at) ?? new Uint8Array()),
    responseBufferSize: Number(p.response_buffer_size ?? 1024),
    send: payload(p.send, at),
    serviceName: serviceName(p.service_name_matcher, at),
  }
}

function serviceName(p: envoy.type.matcher.v3.StringMatcher | undefined, at: FieldPath): ServiceNameMatcher | null {
  if (p === undefined) return null
  const ignoreCase = p.ignore_case ?? false
  if (p.exact !== undefined) return { kind: 'exact', value: p.exact, ignoreCase }
  if (p.prefix !== undefined) return { kind: 'prefix', value: p.prefix, ignoreCase }
  if (p.suffix !== undefined) return { kind: 'suffix', value: p.suffix, ignoreCase }
  if (p.contains !== undefined) return { kind: 'contains', value: p.contains, ignoreCase }
  throw new ConfigError(
    'CONFIG_UNSUPPORTED',
    at,
    'service_name_matcher: only exact, prefix, suffix and contains are supported',
  )
}

function ranges(list: readonly envoy.type.v3.Int64Range[], what: string, at: FieldPath): number[] {
  const flat: number[] = []
  for (const r of list) {
    const start = Number(r.start ?? 0)
    const end = Number(r.end ?? 0)
    const bad = (text: string): never => {
      throw new ConfigError('CONFIG_INVALID', at, `Invalid http ${what} status range: expecting ${text}`)
    }
    if (start >= end) bad(`start < end, but found start=${start} and end=${end}`)
    if (start < 100) bad(`start >= 100, but found start=${start}`)
    if (end > 600) bad(`end <= 600, but found end=${end}`)
    flat.push(start, end)
  }
  return flat
}

function headers(list: readonly envoy.config.core.v3.HeaderValueOption[], at: FieldPath): HealthCheckHeader[] {
  return list.map(h => {
    const value = h.header?.value ?? Buffer.from(h.header?.raw_value ?? []).toString('latin1')
    if (/%[A-Z]/.test(value)) {
      throw new ConfigError('CONFIG_UNSUPPORTED', at, 'format strings in health check headers are not supported')
    }
    return {
      name: (h.header?.key ?? '').toLowerCase(),
      value: value.replaceAll('%%', '%'),
      append: (h.append_action ?? 'APPEND_IF_EXISTS_OR_ADD') === 'APPEND_IF_EXISTS_OR_ADD' && h.append !== false,
    }
  })
}

function payload(p: envoy.config.core.v3.HealthCheck_Payload | undefined, at: FieldPath): Uint8Array | null {
  if (p === undefined) return null
  if (p.binary !== undefined) return p.binary
  const text = p.text ?? ''
  if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text)) {
    throw new ConfigError('CONFIG_INVALID', at, `invalid hex string '${text}'`)
  }
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

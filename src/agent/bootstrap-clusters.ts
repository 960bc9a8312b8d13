import { AgentError } from './agent-error.ts'
import type { BootstrapOptions } from './bootstrap.ts'
import { clientTls } from './bootstrap-tls.ts'
import { boolFrom } from './go-bool.ts'
import { addressFamily } from './node-identity.ts'
import type { ProxyConfig } from './proxy-config.ts'

type Json = Record<string, unknown>

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'

/** static_resources.clusters, in the order of Istio's template. Throws AgentError for an address that is none. */
export function bootstrapClusters(options: BootstrapOptions): Json[] {
  const { config, node, sds } = options
  const { localhost, lookup } = addressFamily(node.addresses, boolFrom(options.env, 'ISTIO_DUAL_STACK'))
  return [
    staticCluster('prometheus_stats', localhost, config.proxyAdminPort),
    staticCluster('agent', localhost, config.statusPort),
    ...(sds === undefined ? [] : [sdsCluster('sds-grpc', sds.workloadSocket)]),
    ...(sds?.filesSocket === undefined ? [] : [sdsCluster('sds-files-grpc', sds.filesSocket)]),
    xdsCluster(config),
    ...tracingClusters(options, lookup),
    ...telemetryCluster('envoy_metrics_service', config.metricsService, options, lookup),
    ...telemetryCluster('envoy_accesslog_service', config.accessLogService, options, lookup),
    ...(node.metadata.ENABLE_SELF_DISCOVERY === 'true' ? [localCluster()] : []),
  ]
}

/** `host:port` of the ProxyConfig; the host `$(HOST_IP)` is the node's address. Throws AgentError. */
export function telemetryAddress(field: string, text: string, hostIp: string | undefined): Json {
  const colon = text.lastIndexOf(':')
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const port = Number(text.slice(colon + 1))
  if (colon < 1 || host === '' || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new AgentError(`${field}: "${text}" is not host:port`)
  }
  return { socket_address: { address: host === '$(HOST_IP)' && hostIp ? hostIp : host, port_value: port } }
}

function tcpAddress(address: string, port: number): Json {
  return { socket_address: { protocol: 'TCP', address, port_value: port } }
}

function staticCluster(name: string, address: string, port: number): Json {
  return {
    name,
    alt_stat_name: `${name};`,
    type: 'STATIC',
    connect_timeout: '0.250s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: assignment(name, tcpAddress(address, port)),
  }
}

/** A server of secrets on a Unix socket. */
function sdsCluster(name: string, path: string): Json {
  return {
    name,
    alt_stat_name: `${name};`,
    type: 'STATIC',
    typed_extension_protocol_options: http2(),
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: assignment(name, { pipe: { path } }),
  }
}

function http2(): Json {
  return {
    [HTTP_OPTIONS]: {
      '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  }
}

function assignment(name: string, address: Json): Json {
  return { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] }
}

/** The agent's relay. */
function xdsCluster(config: ProxyConfig): Json {
  const unlimited = { max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }
  return {
    name: 'xds-grpc',
    alt_stat_name: 'xds-grpc;',
    type: 'STATIC',
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: assignment('xds-grpc', { pipe: { path: `${config.configPath}/XDS` } }),
    circuit_breakers: {
      thresholds: [
        { priority: 'DEFAULT', ...unlimited },
        { priority: 'HIGH', ...unlimited },
      ],
    },
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 300 } },
    max_requests_per_connection: 1,
    typed_extension_protocol_options: http2(),
  }
}

function tracingClusters({ config, node, env }: BootstrapOptions, lookup: string): Json[] {
  const { tracing } = config
  if (tracing === undefined || tracing.tracer === undefined) return []
  const name = tracing.tracer === 'datadog' ? 'datadog_agent' : tracing.tracer
  const lightstep = tracing.tracer === 'lightstep'
  const tls = clientTls(tracing.tlsSettings, 'tracer', lightstep, node.metadata)
  const address = telemetryAddress(`tracing.${tracing.tracer}.address`, tracing.address, env.HOST_IP)
  return [
    {
      name,
      alt_stat_name: `${name};`,
      ...(tls === undefined ? {} : { transport_socket: tls }),
      ...(lightstep ? { typed_extension_protocol_options: http2() } : {}),
      type: 'STRICT_DNS',
      respect_dns_ttl: true,
      dns_lookup_family: lookup,
      ...(tracing.tracer === 'zipkin' ? { dns_refresh_rate: '30s' } : {}),
      connect_timeout: '1s',
      lb_policy: 'ROUND_ROBIN',
      load_assignment: assignment(name, address),
    },
  ]
}

function telemetryCluster(
  name: string,
  service: ProxyConfig['metricsService'],
  { node, env }: BootstrapOptions,
  lookup: string,
): Json[] {
  if (service === undefined) return []
  const tls = clientTls(service.tlsSettings, name, true, node.metadata)
  return [
    {
      name,
      alt_stat_name: `${name};`,
      type: 'STRICT_DNS',
      ...(tls === undefined ? {} : { transport_socket: tls }),
      ...(service.tcpKeepalive === undefined
        ? {}
        : { upstream_connection_options: { tcp_keepalive: keepalive(service.tcpKeepalive) } }),
      respect_dns_ttl: true,
      dns_lookup_family: lookup,
      connect_timeout: '1s',
      lb_policy: 'ROUND_ROBIN',
      typed_extension_protocol_options: http2(),
      load_assignment: assignment(name, telemetryAddress(name, service.address, env.HOST_IP)),
    },
  ]
}

/** TcpKeepalive {probes, time, interval} of the ProxyConfig; zero is Envoy's default. */
function keepalive(settings: Readonly<Json>): Json {
  const seconds = (field: string): number => Math.trunc(Number(String(settings[field] ?? '0').replace(/s$/, '')))
  const values = {
    keepalive_probes: seconds('probes'),
    keepalive_time: seconds('time'),
    keepalive_interval: seconds('interval'),
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value > 0))
}

/** The service this proxy belongs to, for zone-aware routing. */
function localCluster(): Json {
  const policy = 'envoy.load_balancing_policies.least_request'
  return {
    name: 'local_cluster',
    alt_stat_name: 'local_cluster;',
    type: 'EDS',
    connect_timeout: '1s',
    load_balancing_policy: {
      policies: [
        {
          typed_extension_config: {
            name: policy,
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
              locality_lb_config: { zone_aware_lb_config: { min_cluster_size: '1' } },
            },
          },
        },
      ],
    },
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: 'V3' }, service_name: 'local_cluster' },
  }
}

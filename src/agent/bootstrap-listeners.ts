import { AgentError } from './agent-error.ts'
import type { BootstrapOptions } from './bootstrap.ts'
import { sdsSecret } from './bootstrap-tls.ts'
import { boolFrom } from './go-bool.ts'
import { addressFamily, type Env } from './node-identity.ts'

type Json = Record<string, unknown>

const TYPE = 'type.googleapis.com/envoy.extensions.filters'
const HCM = `${TYPE}.network.http_connection_manager.v3.HttpConnectionManager`
const ROUTER = { name: 'envoy.filters.http.router', typed_config: { '@type': `${TYPE}.http.router.v3.Router` } }

/** static_resources.listeners: metrics, the two mTLS ports for metrics if asked for, readiness. */
export function bootstrapListeners({ node, config, env }: BootstrapOptions): Json[] {
  const family = addressFamily(node.addresses, boolFrom(env, 'ISTIO_DUAL_STACK'))
  const localOnly =
    boolFrom(env, 'METRICS_LOCALHOST_ACCESS_ONLY') || config.proxyMetadata.METRICS_LOCALHOST_ACCESS_ONLY === 'true'
  const metrics = localOnly ? family.localhost : family.wildcard
  const moreMetrics = localOnly ? family.additionalLocalhost : family.additionalWildcard
  const securePort = optionalPort(env, 'ENVOY_SECURE_METRICS_PORT')
  const secureMergedPort = optionalPort(env, 'ENVOY_SECURE_MERGED_METRICS_PORT')
  return [
    {
      ...listener(metrics, portFrom(env, 'ENVOY_PROMETHEUS_PORT', 15090), moreMetrics),
      filter_chains: [
        {
          filters: [http('stats', [['/stats/prometheus', 'prometheus_stats']], config.statsCompression)],
        },
      ],
    },
    ...(securePort === 0
      ? []
      : [secureListener(family.wildcard, securePort, 'secure_stats', [['/stats/prometheus', 'prometheus_stats']])]),
    ...(secureMergedPort === 0
      ? []
      : [
          secureListener(family.wildcard, secureMergedPort, 'secure_merged_stats', [
            ['/stats/prometheus', 'agent'],
            ['/metrics', 'agent'],
          ]),
        ]),
    {
      ...listener(family.wildcard, portFrom(env, 'ENVOY_STATUS_PORT', 15021), family.additionalWildcard),
      ...(boolFrom(env, 'ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL') ? { listener_filters: [proxyProtocol()] } : {}),
      filter_chains: [{ filters: [http('agent', [['/healthz/ready', 'agent']], false)] }],
    },
  ]
}

export function portFrom(env: Env, variable: string, byDefault: number): number {
  const text = env[variable]
  if (text === undefined || text === '') return byDefault
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new AgentError(`${variable}=${text}: expected a port between 1 and 65535`)
  }
  return port
}

export function optionalPort(env: Env, variable: string): number {
  return env[variable] === '0' ? 0 : portFrom(env, variable, 0)
}

type Routes = readonly (readonly [prefix: string, cluster: string])[]

function listener(address: string, port: number, additional: string | undefined): Json {
  const at = (ip: string): Json => ({ socket_address: { protocol: 'TCP', address: ip, port_value: port } })
  return {
    name: `${address}_${port}`,
    address: at(address),
    ignore_global_conn_limit: true,
    bypass_overload_manager: true,
    ...(additional === undefined ? {} : { additional_addresses: [{ address: at(additional) }] }),
  }
}

function http(statPrefix: string, routes: Routes, compressed: boolean): Json {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': HCM,
      codec_type: 'AUTO',
      stat_prefix: statPrefix,
      route_config: {
        virtual_hosts: [
          {
            name: 'backend',
            domains: ['*'],
            routes: routes.map(([prefix, cluster]) => ({ match: { prefix }, route: { cluster } })),
          },
        ],
      },
      http_filters: [...(compressed ? ['Brotli', 'Zstd', 'Gzip'].map(compressor) : []), ROUTER],
    },
  }
}

function compressor(library: string): Json {
  const name = library.toLowerCase()
  return {
    name: `envoy.filters.http.compressor.${name}`,
    typed_config: {
      '@type': `${TYPE}.http.compressor.v3.Compressor`,
      compressor_library: {
        name: `stats_${name}`,
        typed_config: { '@type': `type.googleapis.com/envoy.extensions.compression.${name}.compressor.v3.${library}` },
      },
      response_direction_config: {
        common_config: {
          content_type: [
            'text/plain',
            'application/vnd.google.protobuf',
            'application/openmetrics-text',
            'application/openmetrics-protobuf',
          ],
        },
      },
    },
  }
}

function secureListener(address: string, port: number, statPrefix: string, routes: Routes): Json {
  return {
    ...listener(address, port, undefined),
    listener_filters: [
      {
        name: 'envoy.filters.listener.tls_inspector',
        typed_config: { '@type': `${TYPE}.listener.tls_inspector.v3.TlsInspector` },
      },
    ],
    filter_chains: [
      {
        filter_chain_match: { transport_protocol: 'tls' },
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
            require_client_certificate: true,
            common_tls_context: {
              tls_certificate_sds_secret_configs: [sdsSecret('default')],
              combined_validation_context: {
                default_validation_context: {},
                validation_context_sds_secret_config: sdsSecret('ROOTCA'),
              },
            },
          },
        },
        filters: [http(statPrefix, routes, false)],
      },
    ],
  }
}

function proxyProtocol(): Json {
  return {
    name: 'envoy.listener.proxy_protocol',
    typed_config: {
      '@type': `${TYPE}.listener.proxy_protocol.v3.ProxyProtocol`,
      allow_requests_without_proxy_protocol: true,
    },
  }
}

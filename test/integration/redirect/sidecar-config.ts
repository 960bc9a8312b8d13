/** A bootstrap with the listeners and clusters that Istio gives a sidecar, cut down to what the redirect needs. */
export interface SidecarOptions {
  readonly folder: string
  readonly ipv6: boolean
  /** Addresses of the other pod: its HTTP port 9080 and its database 3306 are known services, in the first family. */
  readonly other: readonly string[]
  /** TPROXY: applications see the clients' own addresses. */
  readonly transparent: boolean
}

const FILTER = 'type.googleapis.com/envoy.extensions.filters'
const LISTENER_FILTER = (name: string, type: string, ports: readonly number[] = []): object => ({
  name: `envoy.filters.listener.${name}`,
  typed_config: { '@type': `${FILTER}.listener.${name}.v3.${type}` },
  ...(ports.length === 0
    ? {}
    : {
        filter_disabled: {
          or_match: {
            rules: [{ destination_port_range: { start: 1, end: 2 } }, ...ports.map(portRange)],
          },
        },
      }),
})

const ORIGINAL_SRC = {
  name: 'envoy.filters.listener.original_src',
  typed_config: { '@type': `${FILTER}.listener.original_src.v3.OriginalSrc`, mark: 1337 },
}

function portRange(port: number): object {
  return { destination_port_range: { start: port, end: port + 1 } }
}

export function sidecarConfig(options: SidecarOptions): object {
  const { folder, ipv6, other, transparent } = options
  const logTo = (direction: string): object => ({
    name: 'envoy.access_loggers.file',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path: `${folder}/access.log`,
      log_format: {
        text_format_source: {
          inline_string: `${direction} %UPSTREAM_CLUSTER% local=%DOWNSTREAM_LOCAL_ADDRESS% upstream=%UPSTREAM_HOST% path=%REQ(:PATH)% flags=%RESPONSE_FLAGS%\n`,
        },
      },
    },
  })
  const tcp = (direction: string, cluster: string): object => ({
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: {
      '@type': `${FILTER}.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: cluster,
      cluster,
      access_log: [logTo(direction)],
    },
  })
  const http = (direction: string, cluster: string): object => ({
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': `${FILTER}.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: cluster,
      access_log: [logTo(direction)],
      route_config: {
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
      },
      http_filters: [
        { name: 'envoy.filters.http.router', typed_config: { '@type': `${FILTER}.http.router.v3.Router` } },
      ],
    },
  })
  const address = (ip: string, port: number): object => ({ socket_address: { address: ip, port_value: port } })
  const wildcard = (port: number): object => ({
    address: address('0.0.0.0', port),
    ...(ipv6 ? { additional_addresses: [{ address: address('::', port) }] } : {}),
  })
  const chains = (cluster: string, port: number): object[] => [
    {
      name: `${cluster}-http`,
      filter_chain_match: {
        destination_port: port,
        transport_protocol: 'raw_buffer',
        application_protocols: ['http/1.1', 'h2c'],
      },
      filters: [http('inbound', cluster)],
    },
    {
      name: `${cluster}-tcp`,
      filter_chain_match: { destination_port: port, transport_protocol: 'raw_buffer' },
      filters: [tcp('inbound', cluster)],
    },
  ]
  const passthrough = (name: string, source: string, more: readonly string[] = []): object => ({
    name,
    type: 'ORIGINAL_DST',
    lb_policy: 'CLUSTER_PROVIDED',
    connect_timeout: '2s',
    ...(source === ''
      ? {}
      : {
          upstream_bind_config: {
            source_address: { address: source, port_value: 0 },
            // The one of the destination's family is taken.
            extra_source_addresses: more.map(ip => ({ address: { address: ip, port_value: 0 } })),
          },
        }),
  })
  const known = (port: number): object => ({
    name: `outbound|${port}`,
    connect_timeout: '2s',
    load_assignment: {
      cluster_name: `outbound|${port}`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(other[0]!, port) } }] }],
    },
  })
  return {
    admin: { address: address('127.0.0.1', 15000) },
    static_resources: {
      listeners: [
        {
          name: 'virtualOutbound',
          ...wildcard(15001),
          use_original_dst: true,
          traffic_direction: 'OUTBOUND',
          filter_chains: [{ name: 'virtualOutbound-catchall-tcp', filters: [tcp('outbound', 'PassthroughCluster')] }],
        },
        {
          name: '0.0.0.0_9080',
          ...wildcard(9080),
          bind_to_port: false,
          traffic_direction: 'OUTBOUND',
          listener_filters: [
            LISTENER_FILTER('tls_inspector', 'TlsInspector'),
            LISTENER_FILTER('http_inspector', 'HttpInspector'),
          ],
          filter_chains: [
            {
              filter_chain_match: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1', 'h2c'] },
              filters: [http('outbound', 'outbound|9080')],
            },
          ],
          default_filter_chain: { filters: [tcp('outbound', 'PassthroughCluster')] },
        },
        ...other.map(ip => ({
          name: `${ip}_3306`,
          address: address(ip, 3306),
          bind_to_port: false,
          traffic_direction: 'OUTBOUND',
          filter_chains: [{ filters: [tcp('outbound', 'outbound|3306')] }],
        })),
        {
          name: 'virtualInbound',
          ...wildcard(15006),
          traffic_direction: 'INBOUND',
          transparent,
          listener_filters: [
            LISTENER_FILTER('original_dst', 'OriginalDst'),
            ...(transparent ? [ORIGINAL_SRC] : []),
            LISTENER_FILTER('tls_inspector', 'TlsInspector', [3306]),
            LISTENER_FILTER('http_inspector', 'HttpInspector', [3306]),
          ],
          // Ports that are not known to be server-first wait for this long, then go on.
          listener_filters_timeout: '0.3s',
          continue_on_listener_filters_timeout: true,
          filter_chains: [
            ...['0.0.0.0/0', '::/0'].slice(0, ipv6 ? 2 : 1).map((range, i) => ({
              name: `passthrough-${i}`,
              filter_chain_match: {
                transport_protocol: 'raw_buffer',
                prefix_ranges: [{ address_prefix: range.split('/')[0], prefix_len: 0 }],
              },
              filters: [tcp('inbound', i === 0 ? 'InboundPassthroughCluster' : 'InboundPassthroughCluster6')],
            })),
            ...chains('inbound|8080', 8080),
            ...chains('inbound|3306', 3306),
          ],
        },
      ],
      clusters: [
        passthrough('PassthroughCluster', ''),
        passthrough('InboundPassthroughCluster', '127.0.0.6'),
        ...(ipv6 ? [passthrough('InboundPassthroughCluster6', '::6')] : []),
        ...[8080, 3306].map(port => passthrough(`inbound|${port}`, '127.0.0.6', ipv6 ? ['::6'] : [])),
        known(9080),
        known(3306),
      ],
    },
  }
}

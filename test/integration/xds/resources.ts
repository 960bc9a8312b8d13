/** Resources of the scenarios, as proto3 JSON. */
export const ads = { ads: {}, resource_api_version: 'V3' }

export function edsCluster(name: string, more: object = {}): object {
  return { name, type: 'EDS', connect_timeout: '1s', eds_cluster_config: { eds_config: ads }, ...more }
}

/** Does not wait long for its endpoints. */
export function impatientCluster(name: string, connectTimeout: string): object {
  const eds_config = { ...ads, initial_fetch_timeout: '0.25s' }
  return { ...edsCluster(name), connect_timeout: connectTimeout, eds_cluster_config: { eds_config } }
}

export function staticCluster(name: string, more: object = {}): object {
  return { name, type: 'STATIC', connect_timeout: '1s', load_assignment: { cluster_name: name }, ...more }
}

export function assignment(name: string, port: number, more: object = {}): object {
  return {
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] },
    ],
    ...more,
  }
}

export function listener(name: string, port: number, routes: readonly string[], more: object = {}): object {
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: routes.map((route, i) => ({
      name: `chain${i}`,
      ...(routes.length === 1 ? {} : { filter_chain_match: { destination_port: 1000 + i } }),
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
            stat_prefix: 'in',
            rds: { route_config_name: route, config_source: ads },
            http_filters: [
              {
                name: 'router',
                typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
              },
            ],
          },
        },
      ],
    })),
    ...more,
  }
}

export function routes(name: string, cluster: string, more: object = {}): object {
  return {
    name,
    virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
    ...more,
  }
}

/** Keeps every rule of its fields; the cluster's own code refuses it. */
export function brokenCluster(name: string): object {
  return { name, type: 'LOGICAL_DNS', connect_timeout: '1s' }
}

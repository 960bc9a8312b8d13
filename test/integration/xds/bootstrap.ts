/** The bootstrap both the real proxy and our client get, as proto3 JSON. */
export function bootstrap(
  ads: { port: number } | { pipe: string },
  adminPort: number,
  cluster: object = {},
  apiType: 'GRPC' | 'DELTA_GRPC' = 'GRPC',
): object {
  const address =
    'pipe' in ads ? { pipe: { path: ads.pipe } } : { socket_address: { address: '127.0.0.1', port_value: ads.port } }
  return {
    node: { id: 'test-node', cluster: 'test' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    dynamic_resources: {
      ads_config: {
        api_type: apiType,
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [
          { envoy_grpc: { cluster_name: 'xds' }, initial_metadata: [{ key: 'x-token', value: 'secret' }] },
        ],
      },
      cds_config: { ads: {}, resource_api_version: 'V3' },
      lds_config: { ads: {}, resource_api_version: 'V3' },
    },
    static_resources: {
      clusters: [
        {
          name: 'xds',
          type: 'STATIC',
          connect_timeout: '1s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: { cluster_name: 'xds', endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
          ...cluster,
        },
      ],
    },
  }
}

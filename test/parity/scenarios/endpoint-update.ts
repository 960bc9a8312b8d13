import { bootstrap, downstreamTls, hcm, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, type Step, scenario } from '../scenario.ts'

/** What changes for hosts that stay when their endpoints come anew (EDS, from a file). */
const TYPE = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment'
const SOCKETS = 'type.googleapis.com/envoy.extensions.transport_sockets'
const RAW = { name: 'raw', typed_config: { '@type': `${SOCKETS}.raw_buffer.v3.RawBuffer` } }
const TLS = { name: 'tls', typed_config: { '@type': `${SOCKETS}.tls.v3.UpstreamTlsContext`, sni: 'lab.test' } }
const CERTIFICATE =
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]}'

let version = 1
/** The one endpoint of a cluster, which wants this transport. */
function endpoints(cluster_name: string, transport: string): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: '$port(either)' } }
  const metadata = { filter_metadata: { 'envoy.transport_socket_match': { transport } } }
  const load = { '@type': TYPE, cluster_name, endpoints: [{ lb_endpoints: [{ endpoint: { address }, metadata }] }] }
  return { version_info: String(version++), resources: [load] }
}
const discovered = (name: string) => ({
  name,
  type: 'EDS',
  connect_timeout: '1s',
  eds_cluster_config: { eds_config: { path_config_source: { path: `$tmp/${name}.json` }, resource_api_version: 'V3' } },
  transport_socket_matches: [{ name: 'secured', match: { transport: 'tls' }, transport_socket: TLS }],
  transport_socket: RAW,
  max_requests_per_connection: 1,
})
const answering = (name: string) =>
  hcm(name, {
    routes: `[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "${name}"}}}]`,
  })
const update = (name: string, transport: string): Step[] => [
  { kind: 'file', name: `${name}.json`, content: endpoints(name, transport) },
  { kind: 'until', stat: `cluster.${name}.update_success`, value: 2 },
]
/** What is counted on the main thread is on its way to the workers. */
const WORKERS_KNOW: Step = { kind: 'wait', ms: 300 }
const asked = ['http', 'tcp'].map(listener => get('/', { listener }))

const group: Group = {
  name: 'endpoint-update',
  upstreams: {},
  files: { 'http.json': endpoints('http', 'raw'), 'tcp.json': endpoints('tcp', 'raw') },
  config: bootstrap(
    [
      httpListener('http', { routes: '[{match: {prefix: /}, route: {cluster: http}}]' }),
      tcpListener('tcp', 'cluster: tcp'),
      {
        ...httpListener('either', {
          chains: [
            {
              filter_chain_match: { transport_protocol: 'tls' },
              filters: [answering('tls')],
              transport_socket: downstreamTls(CERTIFICATE),
            },
            { filters: [answering('plain')] },
          ],
        }),
        listener_filters: [typed('tls_inspector', 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector')],
      },
    ],
    [discovered('http'), discovered('tcp')],
  ),
  scenarios: [
    scenario(
      'transport',
      'Metadata that matches another transport socket',
      [...asked, ...update('http', 'tls'), ...update('tcp', 'tls'), WORKERS_KNOW, ...asked],
      [],
      {
        log: false,
        stats: [
          '^cluster\\.(http|tcp)\\.(raw|secured|default).*match_count',
          '^cluster\\.(http|tcp)\\.upstream_cx_total',
        ],
      },
    ),
  ],
}

export default group

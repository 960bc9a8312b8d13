import { bootstrap, cluster, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { admin, type Group, get, scenario, tcp } from '../scenario.ts'

/** ORIGINAL_DST clusters: where a request or connection says that it wants to go. */
const HTTP_STATE = 'envoy.extensions.filters.http.set_filter_state.v3.Config'
const TCP_STATE = 'envoy.extensions.filters.network.set_filter_state.v3.Config'
const KEY = 'envoy.network.transport_socket.original_dst_address'
const state = (type: string, field: string, text: string) =>
  typed(
    'state',
    type,
    `${field}: [{object_key: ${KEY}, skip_if_empty: true, format_string: {omit_empty_values: true, text_format_source: {inline_string: "${text}"}}}]`,
  )

function original(name: string, config: string): Record<string, unknown> {
  const { load_assignment: _, ...rest } = cluster(
    name,
    [],
    `type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\n${config}`,
  )
  return rest
}

const STATS = (name: string) => ({
  stats: [`^cluster\\.${name}\\.(membership_(total|healthy|change)|original_dst_host_invalid|upstream_cx_total)$`],
})

const group: Group = {
  name: 'original-dst',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' }, echo: { kind: 'tcp' } },
  config: bootstrap(
    [
      httpListener('main', {
        routes: `
- {match: {prefix: /header}, route: {cluster: header}}
- {match: {prefix: /default}, route: {cluster: default}}
- {match: {prefix: /port}, route: {cluster: port-}}
- {match: {prefix: /neither}, route: {cluster: neither-}}
`,
        filters: [state(HTTP_STATE, 'on_request_headers', '%REQ(x-to)%')],
      }),
      tcpListener('tcp', 'cluster: neither-', '', [state(TCP_STATE, 'on_new_connection', '127.0.0.1:$port(echo)')]),
      tcpListener('lost', 'cluster: neither-'),
    ],
    [
      original('header', 'original_dst_lb_config: {use_http_header: true, http_header_name: X-Where}'),
      original('default', 'original_dst_lb_config: {use_http_header: true}'),
      original('port-', 'original_dst_lb_config: {use_http_header: true, upstream_port_override: $port(b)}'),
      original('neither-', 'cleanup_interval: 60s'),
    ],
  ),
  scenarios: [
    scenario(
      'header',
      'A header names the host',
      get('/header', { headers: ['x-where: 127.0.0.1:$port(a)'] }),
      [],
      STATS('header'),
    ),
    scenario(
      'default-header',
      'x-envoy-original-dst-host unless named',
      get('/default', { headers: ['x-envoy-original-dst-host: 127.0.0.1:$port(a)'] }),
      [],
      STATS('default'),
    ),
    scenario(
      'malformed',
      'What is no address is counted',
      get('/header', { headers: ['x-where: nobody'] }),
      [],
      STATS('header'),
    ),
    scenario(
      'port-override',
      'upstream_port_override',
      get('/port', { headers: ['x-envoy-original-dst-host: 127.0.0.1:1'] }),
      [],
      STATS('port-'),
    ),
    scenario(
      'filter-state',
      'Filter state comes before the header',
      get('/header', { headers: ['x-where: 127.0.0.1:1', 'x-to: 127.0.0.1:$port(b)'] }),
      [],
      STATS('header'),
    ),
    scenario('nowhere', 'A connection that was not redirected', get('/neither')),
    scenario(
      'tcp',
      'A TCP connection by its filter state',
      tcp('tcp', ['hello', { bytes: 5 }, { end: true }, { closed: true }]),
      [],
      {
        ...STATS('neither-'),
        logLines: 1,
      },
    ),
    scenario('tcp-nowhere', 'A TCP connection that was not redirected', tcp('lost', [{ closed: true }]), [], {
      logLines: 1,
    }),
    scenario('clusters', '/clusters lists the hosts', [
      get('/header', { headers: ['x-where: 127.0.0.1:$port(a)'] }),
      admin('/clusters?filter=^neither-$', {
        as: 'lines',
        only: '::(hostname|weight|health_flags|cx_total|rq_total|priority)::',
      }),
    ]),
    scenario('endpoints', 'So does the dump', [
      get('/port', { headers: ['x-envoy-original-dst-host: 127.0.0.1:1'] }),
      admin('/config_dump?include_eds&mask=static_endpoint_configs&name_regex=^port-$', { as: 'json' }),
    ]),
  ],
}

export default group

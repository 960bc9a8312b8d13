import { bootstrap, cluster, fileLog, hcm, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, scenario, tcp } from '../scenario.ts'

/** set_filter_state: values of requests and connections by format strings. */
const HTTP = 'envoy.extensions.filters.http.set_filter_state.v3.Config'
const NETWORK = 'envoy.extensions.filters.network.set_filter_state.v3.Config'
const value = (key: string, factory: string, text: string, more = '') =>
  `- {object_key: ${key}, factory_key: ${factory}, format_string: {text_format_source: {inline_string: "${text}"}, omit_empty_values: true}${more}}\n`
const READ = ['text', 'later', 'hash', 'addr', 'bad', 'empty', 'skipped', 'once', 'conn']
const LOG = fileLog(
  `${READ.map(key => `${key}=%FILTER_STATE(${key})% ${key}-plain=%FILTER_STATE(${key}:PLAIN)%`).join(' ')} route=%ROUTE_NAME%\n`,
)
const VALUES = `on_request_headers:
${[
  value('text', 'envoy.string', 'a-%REQ(x-a)%'),
  value('later', 'envoy.string', '[%FILTER_STATE(text:PLAIN)%]'),
  value('hash', 'envoy.hashable_string', '%REQ(x-a)%'),
  value('addr', 'envoy.network.transport_socket.original_dst_address', '%REQ(x-addr)%'),
  value('bad', 'envoy.network.transport_socket.original_dst_address', 'no address'),
  value('empty', 'envoy.string', '%REQ(x-missing)%'),
  value('skipped', 'envoy.string', '%REQ(x-missing)%', ', skip_if_empty: true'),
  value('once', 'envoy.string', 'first', ', read_only: true'),
  value('once', 'envoy.string', 'second'),
  value('conn', 'envoy.string', 'stream'),
].join('')}`
const CONNECTION = typed(
  'state',
  NETWORK,
  `on_new_connection:
${value('conn', 'envoy.string', 'connection')}${value('from', 'envoy.string', '%FILTER_STATE(conn:PLAIN)% of %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%')}`,
)
const HTTP_OPTIONS = {
  routes: `
- name: by-state
  match: {prefix: /, filter_state: [{key: hash, string_match: {exact: route}}]}
  direct_response: {status: 201}
- name: override
  match: {prefix: /override}
  direct_response: {status: 202}
  typed_per_filter_config:
    state:
      "@type": type.googleapis.com/${HTTP}
      on_request_headers:
      ${value('hash', 'envoy.string', 'of the route').trim()}
- name: rest
  match: {prefix: /}
  direct_response: {status: 200}
`,
  hcm: `access_log: [${JSON.stringify(LOG)}]`,
  filters: [typed('state', HTTP, `clear_route_cache: true\n${VALUES}`)],
}

const group: Group = {
  name: 'filter-state',
  upstreams: { a: { kind: 'tcp' }, b: { kind: 'tcp' } },
  config: bootstrap(
    [
      httpListener('main', { chains: [{ filters: [CONNECTION, hcm('main', HTTP_OPTIONS)] }] }),
      tcpListener('tcp', `cluster: a\naccess_log: [${JSON.stringify(fileLog('%FILTER_STATE(from)%\n'))}]`, '', [
        CONNECTION,
      ]),
      tcpListener('elsewhere', 'cluster: a', '', [
        typed(
          'state',
          NETWORK,
          `on_new_connection:\n${value('envoy.tcp_proxy.cluster', 'envoy.tcp_proxy.cluster', 'b')}`,
        ),
      ]),
    ],
    [cluster('a', 'a'), cluster('b', 'b')],
  ),
  scenarios: [
    scenario(
      'values',
      'Values of a request, and what is not set',
      get('/x', { headers: ['x-a: v', 'x-addr: 1.2.3.4:80'] }),
    ),
    scenario('ipv6', 'An address in brackets', get('/x', { headers: ['x-addr: [::1]:99'] })),
    scenario('utf8', 'Text that is no ASCII', get('/x', { headers: ['x-a: \u00c3\u00a9'] })),
    scenario('route', 'clear_route_cache lets routes match by it', get('/x', { headers: ['x-a: route'] })),
    scenario('override', 'A route sets further values', get('/override', { headers: ['x-a: v'] })),
    scenario(
      'connection',
      'Values of a TCP connection',
      tcp('tcp', ['hi', { bytes: 2 }, { end: true }, { closed: true }]),
      [],
      {
        logLines: 1,
      },
    ),
    scenario(
      'tcp-cluster',
      'envoy.tcp_proxy.cluster names the cluster',
      tcp('elsewhere', ['hi', { bytes: 2 }, { end: true }, { closed: true }]),
      [],
      { logLines: 1 },
    ),
  ],
}

export default group

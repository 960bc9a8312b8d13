import { bootstrap, cluster, fileLog, H2_UPSTREAM, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, raw, requestBytes, scenario, tcp, together } from '../scenario.ts'

/** tcp_proxy's tunneling_config, and CONNECT or POST terminated on the other side. */
const FORMAT = [
  'tunnel=%DOWNSTREAM_LOCAL_ADDRESS% flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS%',
  'tfail=%UPSTREAM_TRANSPORT_FAILURE_REASON% cluster=%UPSTREAM_CLUSTER% host=%UPSTREAM_HOST%',
  'attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% up-proto=%UPSTREAM_PROTOCOL%',
  'heads=%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers:TYPED)% plain=%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers:PLAIN)%\n',
].join(' ')
const TERMINATED = [
  'method=%REQ(:METHOD)% path=%REQ(:PATH)% authority=%REQ(:AUTHORITY)% scheme=%REQ(:SCHEME)% x-a=%REQ(x-a)% x-b=%REQ(x-b)%',
  'code=%RESPONSE_CODE% flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% host=%UPSTREAM_HOST%\n',
].join(' ')
const LOG = (format: string) => `access_log: [${JSON.stringify(fileLog(format))}]`
const tunnel = (name: string, to: string, config: string, filters: Parameters<typeof tcpListener>[3] = []) =>
  tcpListener(name, `cluster: ${to}\ntunneling_config: {${config}}\n${LOG(FORMAT)}`, '', filters)
const ALLOW = '{http2_protocol_options: {allow_connect: true}}'
const H2 = H2_UPSTREAM.replace('{http2_protocol_options: {}}', ALLOW)
const CONNECT = (to: string, config = '') =>
  `route: {cluster: ${to}, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {${config}}}]}`
const HCM = `${LOG(TERMINATED)}
http2_protocol_options: {allow_connect: true}
upgrade_configs: [{upgrade_type: CONNECT}]
`
const ROUTES = `
- {match: {connect_matcher: {}, headers: [{name: ":authority", string_match: {exact: "dead:1"}}]}, ${CONNECT('dead')}}
- {match: {connect_matcher: {}, headers: [{name: ":authority", string_match: {exact: "closes:1"}}]}, ${CONNECT('closes')}}
- {match: {connect_matcher: {}, headers: [{name: ":authority", string_match: {exact: "resets:1"}}]}, ${CONNECT('resets')}}
- {match: {connect_matcher: {}, headers: [{name: ":authority", string_match: {exact: "sink:1"}}]}, ${CONNECT('sink')}}
- {match: {connect_matcher: {}, headers: [{name: ":authority", string_match: {exact: "denied:1"}}]}, direct_response: {status: 403}}
- {match: {connect_matcher: {}}, ${CONNECT('echo')}}
- {match: {path: /post}, ${CONNECT('echo', 'allow_post: true')}}
`
const UNORDERED = (logLines: number, ...stats: string[]) => ({ logLines, unordered: true, stats })
const echo = (listener: string, text = 'hello') =>
  tcp(listener, [text, { bytes: text.length }, { end: true }, { closed: true }])
const STATS = (name: string) => [
  `^cluster\\.${name}\\.upstream_(cx_(total|destroy|destroy_local|destroy_remote|connect_fail|connect_attempts_exceeded)|rq_(total|pending_total|pending_failure_eject))$`,
]
const STATE = (key: string, text: string) =>
  typed(
    'state',
    'envoy.extensions.filters.network.set_filter_state.v3.Config',
    `on_new_connection: [{object_key: ${key}, format_string: {text_format_source: {inline_string: "${text}"}}}]`,
  )

const group: Group = {
  name: 'tunnel',
  upstreams: {
    echo: { kind: 'tcp' },
    sink: { kind: 'tcp', script: 'sink' },
    resets: { kind: 'tcp', script: 'rst' },
    closes: { kind: 'tcp', script: 'closeafter:4' },
  },
  config: bootstrap(
    [
      tunnel(
        'h2',
        'term_h2',
        'hostname: "echo:7", headers_to_add: [{header: {key: x-a, value: "from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}, {header: {key: x-b, value: b}}]',
      ),
      tunnel('h1', 'term_h1', 'hostname: "%DOWNSTREAM_LOCAL_ADDRESS%"'),
      tunnel('post2', 'term_h2', 'hostname: "echo:7", use_post: true, post_path: /post'),
      tunnel('post1', 'term_h1', 'hostname: "echo:7", use_post: true, post_path: /post'),
      tunnel('dead2', 'term_h2', 'hostname: "dead:1"'),
      tunnel('dead1', 'term_h1', 'hostname: "dead:1"'),
      tunnel('denied2', 'term_h2', 'hostname: "denied:1", propagate_response_headers: true'),
      tunnel('denied1', 'term_h1', 'hostname: "denied:1"'),
      tunnel('sink2', 'term_h2', 'hostname: "sink:1"'),
      tunnel('sink1', 'term_h1', 'hostname: "sink:1"'),
      tunnel('closes2', 'term_h2', 'hostname: "closes:1"'),
      tunnel('closes1', 'term_h1', 'hostname: "closes:1"'),
      tunnel('resets2', 'term_h2', 'hostname: "resets:1"'),
      tunnel('resets1', 'term_h1', 'hostname: "resets:1"'),
      tunnel('nobody', 'nobody', 'hostname: "echo:7"'),
      tunnel('direct', 'echo', 'hostname: "echo:7"', [STATE('envoy.tcp_proxy.disable_tunneling', 'true')]),
      httpListener('term', { routes: ROUTES, hcm: HCM }),
    ],
    [
      cluster('term_h2', 'term', H2),
      cluster('term_h1', 'term'),
      cluster('nobody', 'nobody', H2),
      cluster('dead', 'dead'),
      ...['echo', 'sink', 'resets', 'closes'].map(name => cluster(name, name)),
    ],
  ),
  scenarios: [
    scenario('http2', 'CONNECT by HTTP/2', echo('h2'), [], UNORDERED(2, ...STATS('term_h2'))),
    scenario(
      'http1',
      'CONNECT by HTTP/1.1: the end of the client ends the tunnel',
      echo('h1'),
      [],
      UNORDERED(2, ...STATS('term_h1')),
    ),
    scenario('post-http2', 'POST by HTTP/2', echo('post2'), [], UNORDERED(2)),
    scenario('post-http1', 'POST by HTTP/1.1', echo('post1'), [], UNORDERED(2)),
    scenario('large-http2', '400 KB both ways', echo('h2', 'x'.repeat(400_000)), [], UNORDERED(2)),
    scenario('large-http1', '400 KB both ways', echo('h1', 'x'.repeat(400_000)), [], UNORDERED(2)),
    scenario(
      'shared',
      'Tunnels share an HTTP/2 connection',
      [together(echo('h2'), echo('h2', 'other')), echo('h2')],
      [],
      UNORDERED(6, '^cluster\\.term_h2\\.upstream_cx_http2_total$', '^cluster\\.term_h2\\.upstream_rq_total$'),
    ),
    scenario(
      'half-close-http2',
      'A half-closed client is still answered',
      tcp('sink2', ['hello', { end: true }, { closed: true }]),
      [],
      UNORDERED(2),
    ),
    scenario(
      'half-close-http1',
      'HTTP/1.1 knows no half-close',
      tcp('sink1', ['hello', { end: true }, { closed: true }]),
      [],
      UNORDERED(2),
    ),
    scenario('closes-http2', 'The server ends', tcp('closes2', ['abcd', { closed: true }]), [], UNORDERED(2)),
    scenario('closes-http1', 'The server ends', tcp('closes1', ['abcd', { closed: true }]), [], UNORDERED(2)),
    scenario('resets-http2', 'The server resets', tcp('resets2', ['abcd', { closed: true }]), [], UNORDERED(2)),
    scenario('resets-http1', 'The server resets', tcp('resets1', ['abcd', { closed: true }]), [], UNORDERED(2)),
    scenario(
      'client-resets-http2',
      'The client resets',
      tcp('h2', ['abcd', { bytes: 4 }, { reset: true }]),
      [],
      UNORDERED(2),
    ),
    scenario(
      'client-resets-http1',
      'The client resets',
      tcp('h1', ['abcd', { bytes: 4 }, { reset: true }]),
      [],
      UNORDERED(2),
    ),
    scenario(
      'dead-http2',
      'The far side cannot connect',
      tcp('dead2', [{ closed: true }]),
      [],
      UNORDERED(2, ...STATS('term_h2')),
    ),
    scenario(
      'dead-http1',
      'The far side cannot connect',
      tcp('dead1', [{ closed: true }]),
      [],
      UNORDERED(2, ...STATS('term_h1')),
    ),
    scenario('denied-http2', 'The far side refuses', tcp('denied2', [{ closed: true }]), [], UNORDERED(2)),
    scenario('denied-http1', 'The far side refuses', tcp('denied1', [{ closed: true }]), [], UNORDERED(2)),
    scenario('nobody', 'There is no far side', tcp('nobody', [{ closed: true }]), [], UNORDERED(1, ...STATS('nobody'))),
    scenario('direct', 'envoy.tcp_proxy.disable_tunneling', echo('direct'), [], UNORDERED(1)),
    scenario(
      'post-only-where-allowed',
      'A POST to a route of CONNECT alone is an ordinary request',
      raw(requestBytes('/elsewhere', { method: 'POST', body: 'x' }), { listener: 'term', methods: ['POST'] }),
      [],
      UNORDERED(1),
    ),
  ],
}

export default group

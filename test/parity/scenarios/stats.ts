import { bootstrap, cluster, downstreamTls, H2_UPSTREAM, httpListener, tcpListener } from '../configs/builder.ts'
import {
  admin,
  type Group,
  get,
  grpc,
  h2,
  raw,
  requestBytes,
  type Scenario,
  type Step,
  scenario,
  tcp,
} from '../scenario.ts'

/**
 * Complete lists of counters and gauges, with values, after a fixed set of requests. Each group has one scenario, so
 * that the process is fresh whatever the filter; the client closes every connection before the stats are read.
 */
const ALL = (...patterns: string[]): Scenario['compare'] => ({ stats: patterns, logLines: 0 })
const TRAFFIC: Step[] = [
  get('/ok'),
  get('/ok', { method: 'POST', body: 'hello' }),
  get('/ok', { up: 'status:404' }),
  get('/ok', { up: 'status:503' }),
  get('/ok', { up: 'status:301' }),
  get('/ok', { up: 'close' }),
  get('/retry', { up: 'status:503|ok' }),
  get('/retry', { up: 'status:503' }),
  get('/timeout', { up: 'delay:300' }),
  get('/redirect'),
  get('/direct'),
  get('/nowhere'),
  get('/dead'),
  get('/empty'),
  raw('BAD\r\n\r\n'),
  raw([requestBytes('/ok'), { responses: 1 }, requestBytes('/ok')], { responses: 2 }),
  h2('/ok'),
  h2('/ok', { ':path': '' }),
  grpc('/ok'),
  { kind: 'wait', ms: 150 },
]
const ROUTES = `
- {match: {path: /retry}, route: {cluster: a, retry_policy: {retry_on: 5xx, num_retries: 1, retry_back_off: {base_interval: 0.005s}}}}
- {match: {path: /timeout}, route: {cluster: a, timeout: 0.1s}}
- {match: {path: /redirect}, redirect: {path_redirect: /x}}
- {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: x}}}
- {match: {path: /dead}, route: {cluster: dead}}
- {match: {path: /empty}, route: {cluster: empty}}
- {match: {path: /ok}, stat_prefix: route_prefix, route: {cluster: a}}
`
const config = () =>
  bootstrap(
    [
      httpListener('main', {
        routes: ROUTES,
        vhost: 'virtual_clusters: [{name: vc, headers: [{name: ":method", string_match: {exact: POST}}]}]',
        listener: 'stat_prefix: listening',
      }),
    ],
    [cluster('a', 'a'), cluster('dead', 'nobody'), cluster('empty', [])],
  )
const http = (name: string, doc: string, patterns: string[]): Group => ({
  name: `stats-${name}`,
  upstreams: { a: { kind: 'http1' } },
  config: config(),
  scenarios: [scenario('complete', doc, TRAFFIC, [], { ...ALL(...patterns), log: false, upstream: false })],
})

const groups: Group[] = [
  http('cluster', 'Every counter and gauge of an HTTP cluster', ['^cluster\\.a\\.']),
  http('dead-cluster', 'Every counter and gauge of a cluster that refuses', ['^cluster\\.(dead|empty)\\.']),
  http('http', 'Every counter and gauge of a connection manager', ['^http\\.main\\.']),
  {
    name: 'stats-cut',
    upstreams: { a: { kind: 'http1' }, b: { kind: 'h2' } },
    config: bootstrap(
      [
        httpListener('main', {
          routes: `
- {match: {prefix: /h2/slow}, route: {cluster: b, timeout: 0.1s}}
- {match: {prefix: /h2}, route: {cluster: b}}
- {match: {prefix: /}, route: {cluster: a, timeout: 0.1s}}
`,
        }),
      ],
      [cluster('a', 'a'), cluster('b', 'b', H2_UPSTREAM)],
    ),
    scenarios: [
      scenario(
        'complete',
        'Resets towards the client, when an upstream breaks off or takes too long within its answer',
        [
          get('/', { up: 'partial' }),
          h2('/', { 'x-up': 'partial' }),
          get('/', { up: 'slow:300' }),
          h2('/', { 'x-up': 'slow:300' }),
          get('/h2', { up: 'rstafter:2' }),
          h2('/h2', { 'x-up': 'rstafter:8' }),
          h2('/h2/slow', { 'x-up': 'slow:300' }),
          grpc('/h2', { 'x-up': 'rstafter:2' }),
          grpc('/h2/slow', { 'x-up': 'slow:300' }),
          { kind: 'wait', ms: 150 },
        ],
        [],
        { ...ALL('^http\\.main\\.(downstream_rq_[rt]x_reset|rq_reset_after)'), log: false, upstream: false },
      ),
    ],
  },
  http('listener', 'Every counter and gauge of a listener and of the listener manager', [
    '^listener\\.listening\\.',
    '^listener_manager\\.(?!worker_)',
    '^listener\\.admin\\.downstream_pre',
    '^vhost\\.',
  ]),
  http('manager', 'Cluster manager, server and runtime names', [
    '^cluster_manager\\.',
    '^runtime\\.',
    '^filesystem\\.(?!.*(write|buf|flush))',
    '^server\\.(?!(memory|uptime|total_connections|parent|stats_recent|version|days|init|debug|compil))',
    '^http1\\.',
    '^http2\\.',
  ]),
  {
    name: 'stats-codecs',
    upstreams: { a: { kind: 'http1' } },
    config: config(),
    scenarios: [
      scenario(
        'first-use',
        'Statistics of HTTP/2 exist from the first connection on that speaks it',
        [
          get('/ok'),
          admin('/stats?filter=^http2\\.&type=Counters', { as: 'lines' }),
          h2('/ok'),
          admin('/stats?filter=^http2\\.&type=Counters', { as: 'lines' }),
        ],
        [],
        { log: false },
      ),
    ],
  },
  {
    name: 'stats-h2-cluster',
    upstreams: { h2: { kind: 'h2' } },
    config: bootstrap(
      [httpListener('main', { routes: '[{match: {prefix: /}, route: {cluster: h2}}]' })],
      [cluster('h2', 'h2', H2_UPSTREAM)],
    ),
    scenarios: [
      scenario(
        'complete',
        'Every counter and gauge of an HTTP/2 cluster',
        [
          h2('/a'),
          grpc('/b', { 'x-up': 'grpc:0' }),
          h2('/c', { 'x-up': 'rst:2' }),
          h2('/d', { 'x-up': 'goaway,ok' }),
          { kind: 'wait', ms: 100 },
        ],
        [],
        {
          stats: ['^cluster\\.h2\\.', '^http2\\.'],
          log: false,
          upstream: false,
        },
      ),
    ],
  },
  {
    name: 'stats-tls',
    upstreams: { a: { kind: 'http1' } },
    config: bootstrap(
      [
        httpListener('main', {
          routes: '[{match: {prefix: /}, route: {cluster: a}}]',
          listener: 'stat_prefix: secured',
          transport: downstreamTls(
            'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]}',
          ),
        }),
      ],
      [cluster('a', 'a')],
    ),
    scenarios: [
      scenario(
        'complete',
        'Every counter and gauge of a TLS listener',
        [
          get('/x', { tls: { sni: 'lab.test' } }),
          get('/x', { tls: { sni: 'lab.test', maxVersion: 'TLSv1.2' } }),
          get('/plain'),
          { kind: 'wait', ms: 100 },
        ],
        [],
        {
          stats: ['^listener\\.secured\\.'],
          log: false,
          upstream: false,
        },
      ),
    ],
  },
  {
    name: 'stats-tcp',
    upstreams: { echo: { kind: 'tcp' } },
    config: bootstrap(
      [tcpListener('main', 'cluster: echo', 'stat_prefix: tcping'), tcpListener('other', 'cluster: dead')],
      [cluster('echo', 'echo'), cluster('dead', 'nobody')],
    ),
    scenarios: [
      scenario(
        'complete',
        'Every counter and gauge of tcp_proxy, its cluster and listener',
        [
          tcp('main', ['hello', { bytes: 5 }, { end: true }, { closed: true }]),
          tcp('main', ['abc', { bytes: 3 }, { reset: true }]),
          tcp('other', [{ closed: true }]),
          { kind: 'wait', ms: 150 },
        ],
        [],
        {
          stats: ['^cluster\\.(echo|dead)\\.', '^tcp\\.', '^listener\\.tcping\\.'],
          log: false,
          upstream: false,
        },
      ),
    ],
  },
]

export default groups

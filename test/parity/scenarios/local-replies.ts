import { bootstrap, cluster, H2_UPSTREAM, httpListener, upstreamTls } from '../configs/builder.ts'
import { type Group, get, grpc, h2, type Scenario, type Step } from '../scenario.ts'

/** Every way in which the proxy answers by itself, or has to give up on an upstream. */
const ROUTES = `
- {match: {path: /ok}, route: {cluster: a}, name: ok}
- {match: {path: /uh}, route: {cluster: empty}, name: uh}
- {match: {path: /uf}, route: {cluster: closed}, name: uf}
- {match: {path: /conto}, route: {cluster: hole}, name: conto}
- {match: {path: /tlsfail}, route: {cluster: tls_to_plain}}
- {match: {path: /p2t}, route: {cluster: plain_to_tls}}
- {match: {path: /ncs}, route: {cluster: nowhere}}
- {match: {path: /nc404}, route: {cluster: nowhere, cluster_not_found_response_code: NOT_FOUND}}
- {match: {path: /nc500}, route: {cluster: nowhere, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}}
- {match: {path: /header}, route: {cluster_header: x-cluster}}
- {match: {path: /maint}, route: {cluster: maintenance}}
- {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: "direct body\\n"}}}
- {match: {path: /d403}, direct_response: {status: 403, body: {inline_string: "no\\n"}}}
- {match: {path: /dnobody}, direct_response: {status: 404}}
- {match: {path: /h2/refused}, route: {cluster: h2}}
- {match: {prefix: /h2}, route: {cluster: h2}}
- {match: {prefix: /up}, route: {cluster: a}}
`
const both = (
  name: string,
  doc: string,
  path: string,
  covers: string[],
  headers: Record<string, string> = {},
): Scenario => ({
  name,
  doc: `${doc}; over HTTP/1.1, HTTP/2, as HEAD and to a gRPC client`,
  steps: [
    get(path, { headers: Object.entries(headers).map(([key, value]) => `${key}: ${value}`) }),
    h2(path, headers),
    get(path, { method: 'HEAD', headers: Object.entries(headers).map(([key, value]) => `${key}: ${value}`) }),
    grpc(path, headers),
  ],
  covers,
})
const one = (name: string, doc: string, step: Step, covers: string[] = []): Scenario => ({
  name,
  doc,
  steps: [step],
  covers,
})
const up = (script: string, path = '/up') => get(path, { up: script })

const group: Group = {
  name: 'local-replies',
  upstreams: {
    a: { kind: 'http1' },
    h2: { kind: 'h2' },
    hole: { kind: 'blackhole' },
    tls: { kind: 'http1', tls: { certificate: 'server' } },
  },
  config: bootstrap(
    [
      httpListener('main', {
        routes: ROUTES,
        domains: ['lab.test'],
        routeConfig: 'validate_clusters: false',
      }),
    ],
    [
      cluster('a', 'a'),
      cluster('h2', 'h2', H2_UPSTREAM),
      cluster('empty', []),
      cluster('closed', 'nobody'),
      cluster('hole', 'hole', 'connect_timeout: 0.2s'),
      cluster('tls_to_plain', 'a', `{"connect_timeout": "0.2s", ${upstreamTls('sni: lab.test').slice(1)}`),
      cluster('plain_to_tls', 'tls'),
      cluster('maintenance', 'a'),
    ],
    'layered_runtime: {layers: [{name: static, static_layer: {upstream.maintenance_mode.maintenance: 100}}]}',
  ),
  scenarios: [
    one('proxied', 'An answer of an upstream keeps its header order; server is replaced in place', get('/ok'), [
      'ok via upstream',
    ]),
    one('no-virtual-host', 'No virtual host matches: 404 with an empty body', get('/x', { host: 'nomatch.test' }), [
      'no vhost match',
    ]),
    one('no-virtual-host-h2', 'The same over HTTP/2', h2('/x', { ':authority': 'nomatch.test' }), ['h2 404 NR']),
    one('no-virtual-host-grpc', 'A gRPC client gets trailers only', grpc('/x', { ':authority': 'nomatch.test' }), [
      'grpc 404 NR',
    ]),
    one('no-virtual-host-head', 'HEAD without a body', get('/x', { method: 'HEAD', host: 'nomatch.test' }), [
      'HEAD 404',
    ]),
    one('no-route', 'No route matches inside a virtual host', get('/nothing')),
    both('no-healthy-upstream', 'A cluster without endpoints', '/uh', ['uh empty cluster', 'grpc UH']),
    both('connection-refused', 'Nobody listens', '/uf', [
      'uf connection refused',
      'grpc UF',
      'h2 UF',
      'HEAD uf',
      'h2 HEAD',
    ]),
    both('connect-timeout', 'SYNs are not answered', '/conto', ['uf connect timeout']),
    one('tls-to-plaintext', 'A TLS client hello to a plaintext server that waits for a request', get('/tlsfail'), [
      'uf TLS to plaintext upstream',
    ]),
    one('plaintext-to-tls', 'A plaintext request to a TLS server', get('/p2t'), ['plaintext to TLS upstream']),
    both('unknown-cluster', 'The route names a cluster that does not exist', '/ncs', [
      'unknown cluster (static)',
      'grpc NC',
    ]),
    both('unknown-cluster-404', 'The same with a response code of its own', '/nc404', [
      'unknown cluster 404 code',
      'grpc NC 404',
    ]),
    both('unknown-cluster-500', 'The same with a response code of its own', '/nc500', [
      'unknown cluster 500 code',
      'grpc NC 500',
    ]),
    one('cluster-header-missing', 'cluster_header without the header', get('/header'), ['cluster_header missing']),
    both('cluster-header-unknown', 'cluster_header names no cluster', '/header', ['cluster_header unknown'], {
      'x-cluster': 'zzz',
    }),
    one('cluster-header', 'cluster_header picks the cluster', get('/header', { headers: ['x-cluster: a'] }), [
      'cluster_header ok',
    ]),
    both('maintenance-mode', 'Runtime upstream.maintenance_mode', '/maint', [
      'maintenance mode runtime',
      'grpc maintenance',
    ]),
    both('direct-response', 'direct_response with a body', '/direct', [
      'direct_response 200',
      'HEAD direct',
      'grpc direct 200',
    ]),
    both('direct-response-403', 'direct_response with an error', '/d403', ['grpc direct 403']),
    both('direct-response-empty', 'direct_response without a body', '/dnobody', [
      'direct_response 404 no body',
      'grpc direct 404',
    ]),
    both(
      'upstream-closes',
      'The upstream closes before headers',
      '/up',
      ['uc upstream closes before headers', 'grpc UC', 'h2 UC'],
      { 'x-up': 'close' },
    ),
    both('upstream-resets', 'The upstream resets before headers', '/up', ['uc upstream RST', 'grpc UC rst'], {
      'x-up': 'rst',
    }),
    both('upstream-garbage', 'The upstream does not speak HTTP', '/up', ['upstream garbage'], { 'x-up': 'garbage' }),
    both(
      'upstream-partial',
      'The body is shorter than content-length',
      '/up',
      ['upstream partial body then close', 'h2 partial body'],
      {
        'x-up': 'partial',
      },
    ),
    both('upstream-chunk-cut', 'The chunked body is cut', '/up', ['upstream chunked truncated'], {
      'x-up': 'chunkpart',
    }),
    both('upstream-bad-chunk', 'The chunk size is no number', '/up', [], { 'x-up': 'badchunk' }),
    one('upstream-until-close', 'A body that ends with the connection is sent on in chunks', up('untilclose'), []),
    one('upstream-headers-only', 'No framing and no body', up('noheaders'), ['upstream headers only then close']),
    one('upstream-http10', 'An HTTP/1.0 answer', up('http10'), ['upstream HTTP/1.0 response']),
    one('upstream-http10-keep-alive', 'An HTTP/1.0 answer that keeps the connection', up('http10keep')),
    one('upstream-early-hints', '103 is swallowed', up('hints,ok'), ['upstream 103 early hints']),
    one('upstream-early-hints-h2', '103 is swallowed towards HTTP/2', h2('/up', { 'x-up': 'hints,ok' }), [
      'h2 early hints',
    ]),
    one('upstream-two-lengths', 'Two content-length headers of an upstream', up('twolen')),
    one('upstream-te-and-length', 'transfer-encoding and content-length of an upstream', up('telen')),
    one('upstream-big-header', 'A response header of 70 KB', up('bighdr:70000'), [
      'upstream response headers too big 70KB',
    ]),
    one('upstream-101-headers', 'More than 100 response headers', up('manyhdrs:101')),
    one('upstream-no-reason', 'A status line without reason phrase', up('noreason')),
    one('upstream-odd-reason', 'A reason phrase of its own is replaced', up('oddreason')),
    one('upstream-status-299', 'A status without a known reason phrase', up('status299')),
    one('upstream-bad-status', 'A status of two digits', up('badstatus')),
    one('upstream-obs-fold', 'A folded response header', up('obsfold')),
    one('upstream-bare-lf', 'Lines that end in LF only', up('barelf')),
    one('upstream-empty-header-name', 'A header without a name', up('nohost')),
    one('upstream-204', '204 has no body and no length', up('status:204'), ['status 204 upstream']),
    one('upstream-304', '304 has no body and no length', up('status:304'), ['status 304 upstream']),
    one('upstream-404', 'Statuses pass through', up('status:404')),
    one('upstream-chunked', 'A chunked body; names are lower-cased', up('chunked'), ['chunked upstream']),
    one('upstream-trailers', 'HTTP/1.1 trailers are dropped', up('trailers'), ['trailers upstream, no te']),
    one(
      'upstream-trailers-te',
      'te: trailers makes no difference',
      get('/up', { up: 'trailers', headers: ['te: trailers'] }),
      ['trailers upstream, te: trailers'],
    ),
    one(
      'upstream-trailers-h2',
      'Trailers of an HTTP/1.1 upstream are dropped towards HTTP/2 too',
      h2('/up', { 'x-up': 'trailers' }),
      ['h2 trailers upstream'],
    ),
    one('upstream-head', 'HEAD keeps content-length', get('/up', { method: 'HEAD' })),
    one('upstream-envoy-headers', 'x-envoy-* headers of an upstream', up('envoyheaders'), [
      'upstream sends x-envoy-* response headers [18080]',
    ]),
    one('h2-upstream', 'An HTTP/2 upstream', get('/h2'), ['h2 upstream ok']),
    one('h2-upstream-reset', 'RST_STREAM before headers', get('/h2', { up: 'rst:2' }), ['h2 upstream RST_STREAM']),
    one('h2-upstream-refused', 'REFUSED_STREAM', get('/h2/refused', { up: 'rst:7' }), ['h2 upstream REFUSED_STREAM']),
  ],
}

export default group

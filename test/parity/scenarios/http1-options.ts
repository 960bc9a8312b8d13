import { bootstrap, cluster, httpListener } from '../configs/builder.ts'
import { fields, type Group, get, h2, raw, requestBytes, scenario } from '../scenario.ts'

/** Options of the connection manager and the HTTP/1 codec, each on a listener of its own. */
const ROUTES = `
- {match: {path: /uf}, route: {cluster: closed}}
- {match: {path: /uh}, route: {cluster: empty}}
- {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: "direct body\\n"}}}
- {match: {path: /dnobody}, direct_response: {status: 404}}
- {match: {path: /rp}, redirect: {path_redirect: /new}}
- {match: {prefix: /}, route: {cluster: a, timeout: 2s}}
`
const HOST = 'HTTP/1.1\r\nHost: lab.test\r\n'
const v10 = (bytes: string) => raw(bytes, { listener: 'v10' })
const limits = { listener: 'limits' }
const norm = (path: string, rest = '') => raw(`GET ${path} ${HOST}${rest}\r\n`, { listener: 'norm' })

const group: Group = {
  name: 'http1-options',
  upstreams: { a: { kind: 'http1' } },
  config: bootstrap(
    [
      httpListener('v10', {
        routes: ROUTES,
        domains: ['lab.test'],
        hcm: 'http_protocol_options: {accept_http_10: true, default_host_for_http_10: lab.test}',
      }),
      httpListener('limits', {
        routes: ROUTES,
        hcm: `
max_request_headers_kb: 2
request_headers_timeout: 0.2s
stream_idle_timeout: 0.25s
common_http_protocol_options: {max_headers_count: 10, idle_timeout: 0.4s}
`,
      }),
      httpListener('reqtimeout', { routes: ROUTES, hcm: 'request_timeout: 0.2s' }),
      httpListener('maxdur', {
        routes: ROUTES,
        hcm: 'common_http_protocol_options: {max_stream_duration: 0.2s}\nupgrade_configs: [{upgrade_type: CONNECT}, {upgrade_type: websocket}]',
      }),
      httpListener('maxreq', { routes: ROUTES, hcm: 'common_http_protocol_options: {max_requests_per_connection: 2}' }),
      httpListener('maxconn', {
        routes: ROUTES,
        hcm: 'common_http_protocol_options: {max_connection_duration: 0.2s}\ndrain_timeout: 0.1s',
      }),
      httpListener('norm', {
        routes: ROUTES,
        domains: ['lab.test'],
        hcm: `
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: REJECT_REQUEST
strip_any_host_port: true
common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}
http_protocol_options: {allow_absolute_url: false, header_key_format: {proper_case_words: {}}}
`,
      }),
      httpListener('unescape', {
        routes: ROUTES,
        hcm: `
normalize_path: true
path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD
strip_matching_host_port: true
common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}
`,
      }),
      httpListener('unredirect', { routes: ROUTES, hcm: 'path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT' }),
      httpListener('trailers', { routes: ROUTES, hcm: 'http_protocol_options: {enable_trailers: true}' }),
      httpListener('lenient', {
        routes: ROUTES,
        hcm: 'http_protocol_options: {allow_chunked_length: true}\nstrip_trailing_host_dot: true',
      }),
      httpListener('continue', { routes: ROUTES, hcm: 'proxy_100_continue: true' }),
      httpListener('local', {
        routes: ROUTES,
        domains: ['lab.test'],
        hcm: `
local_reply_config:
  mappers:
  - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 404, runtime_key: k404}}}}
    status_code: 410
    body: {inline_string: mapped}
    headers_to_add: [{header: {key: x-mapped, value: "1"}}]
  - filter: {response_flag_filter: {flags: [UH]}}
    body_format_override: {text_format_source: {inline_string: "UH:%LOCAL_REPLY_BODY%:%RESPONSE_CODE%\\n"}, content_type: text/html}
  body_format: {json_format: {code: "%RESPONSE_CODE%", details: "%RESPONSE_CODE_DETAILS%", msg: "%LOCAL_REPLY_BODY%", path: "%REQ(:PATH)%"}}
`,
      }),
    ],
    [
      cluster(
        'a',
        'a',
        `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {enable_trailers: true}}}}`,
      ),
      cluster('closed', 'nobody'),
      cluster('empty', []),
    ],
  ),
  scenarios: [
    scenario(
      'v10-host',
      'accept_http_10: answered in HTTP/1.0 and closed',
      v10('GET /ok HTTP/1.0\r\nHost: lab.test\r\n\r\n'),
      ['1.0 with host'],
    ),
    scenario('v10-default-host', 'default_host_for_http_10', v10('GET /ok HTTP/1.0\r\n\r\n'), [
      '1.0 no host (default_host)',
    ]),
    scenario(
      'v10-keep-alive',
      'connection: keep-alive is kept',
      v10('GET /ok HTTP/1.0\r\nHost: lab.test\r\nconnection: keep-alive\r\n\r\n'),
      ['1.0 keep-alive'],
    ),
    scenario(
      'v10-chunked-upstream',
      'A chunked body ends with the connection',
      v10('GET /ok HTTP/1.0\r\nHost: lab.test\r\nx-up: chunked\r\n\r\n'),
      ['1.0 chunked upstream'],
    ),
    scenario('v10-local-reply', 'A local reply', v10('GET /uf HTTP/1.0\r\nHost: lab.test\r\n\r\n'), ['1.0 404']),
    scenario('v09', 'HTTP/0.9', v10('GET /ok\r\n\r\n'), ['0.9']),
    scenario(
      'v10-te',
      'transfer-encoding in HTTP/1.0',
      v10('POST /ok HTTP/1.0\r\nHost: lab.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'),
      ['1.0 TE chunked'],
    ),
    scenario('v11-on-v10', 'HTTP/1.1 is not changed by the option', get('/ok', { listener: 'v10' })),
    scenario(
      'limits-header-size',
      'max_request_headers_kb',
      raw(`GET /ok ${HOST}x-a: ${'a'.repeat(2500)}\r\n\r\n`, limits),
      ['headers >2KB'],
    ),
    scenario('limits-header-count', 'max_headers_count', raw(`GET /ok ${HOST}${'x-a: 1\r\n'.repeat(11)}\r\n`, limits), [
      '>10 headers',
    ]),
    scenario(
      'limits-h2-header-size',
      'max_request_headers_kb over HTTP/2',
      h2('/ok', { 'x-a': 'a'.repeat(2500) }, 'limits'),
      ['h2 big header'],
    ),
    scenario(
      'headers-timeout',
      'request_headers_timeout',
      raw('GET /ok HTTP/1.1\r\nHost: lab', { ...limits, linger: 1500 }),
      ['request headers never finish (0.3s)'],
    ),
    scenario(
      'body-idle',
      'stream_idle_timeout while the body is awaited',
      raw(`POST /ok ${HOST}content-length: 10\r\n\r\nabc`, limits),
      ['request body never comes (request_timeout 0.5s, stream idle 0.4s)'],
    ),
    scenario(
      'answer-idle',
      'stream_idle_timeout while the upstream is slow',
      get('/ok', { ...limits, up: 'delay:700' }),
      ['stream idle while upstream is slow'],
    ),
    scenario(
      'connection-idle',
      'idle_timeout before the first byte',
      raw([{ closed: true }], { ...limits, responses: 0 }),
      ['idle connection closes after idle_timeout 1s (no data sent)'],
    ),
    scenario('keep-alive-idle', 'idle_timeout after an answer', get('/ok', { ...limits, linger: 1500 }), [
      'keep-alive then idle 1s',
    ]),
    scenario(
      'request-timeout',
      'request_timeout: the body never ends',
      raw(`POST /ok ${HOST}content-length: 10\r\n\r\nabc`, { listener: 'reqtimeout' }),
    ),
    scenario(
      'request-timeout-done',
      'request_timeout stops when the request is complete',
      get('/ok', { listener: 'reqtimeout', up: 'delay:350,ok' }),
    ),
    scenario(
      'max-stream-duration',
      'max_stream_duration of the connection manager',
      get('/ok', { listener: 'maxdur', up: 'delay:600' }),
      ['max_stream_duration HCM'],
    ),
    scenario('max-stream-duration-h2', 'The same over HTTP/2', h2('/ok', { 'x-up': 'delay:600' }, 'maxdur')),
    scenario(
      'connect-enabled',
      'CONNECT is an allowed upgrade, but no route matches it',
      raw('CONNECT lab.test:443 HTTP/1.1\r\nHost: lab.test:443\r\n\r\n', { listener: 'maxdur', methods: ['CONNECT'] }),
      ['CONNECT when enabled by HCM but no connect_matcher'],
    ),
    scenario(
      'websocket-max-duration',
      'max_stream_duration ends a websocket',
      raw(
        [`GET /x ${HOST}x-up: switch\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`, 'hello', { closed: true }],
        { listener: 'maxdur', responses: 0 },
      ),
      ['websocket ok on L9'],
      { logLines: 1 },
    ),
    scenario(
      'max-requests',
      'The second answer says connection: close',
      raw([requestBytes('/1'), { responses: 1 }, requestBytes('/2')], { listener: 'maxreq', responses: 2 }),
      ['max_requests_per_connection=2, 1st'],
    ),
    scenario(
      'max-requests-pipelined',
      'The third of three pipelined requests is not answered',
      raw(requestBytes('/1') + requestBytes('/2') + requestBytes('/3'), { listener: 'maxreq', responses: 2 }),
      ['max_requests_per_connection=2: 3 pipelined'],
    ),
    scenario(
      'max-connection-duration',
      'The connection is drained after its time',
      raw([requestBytes('/1'), { responses: 1 }, { closed: true }], { listener: 'maxconn' }),
    ),
    scenario('norm-dot-dot', 'normalize_path', norm('/a/../b'), ['dotdot']),
    scenario('norm-slashes', 'merge_slashes', norm('/a//b///c'), ['merge slashes']),
    scenario('norm-escaped-slash', 'Escaped slashes are rejected', norm('/a%2Fb'), ['escaped slash reject']),
    scenario('norm-escaped-dots', '%2e%2e counts as ..', norm('/a/%2e%2e/b'), ['%2e']),
    scenario('norm-backslash', 'A backslash becomes a slash', norm('/a\\b'), ['backslash']),
    scenario('norm-above-root', '.. above the root', norm('/../a'), ['above root']),
    scenario('norm-unreserved', 'Unreserved characters are decoded', norm('/%41%7e'), ['unreserved']),
    scenario('norm-fragment', 'A fragment', norm('/a#f'), ['fragment']),
    scenario('norm-nul', '%00', norm('/a%00b'), ['%00']),
    scenario('norm-query', 'The query is left alone', norm('/a/../b?x=/../y//z')),
    scenario('norm-underscore', 'Underscores are rejected', norm('/ok', 'x_a: 1\r\n'), ['underscore header REJECT']),
    scenario(
      'norm-host-port',
      'strip_any_host_port',
      raw('GET /ok HTTP/1.1\r\nHost: lab.test:1234\r\n\r\n', { listener: 'norm' }),
      ['host port stripped'],
    ),
    scenario(
      'norm-absolute',
      'allow_absolute_url: false',
      raw(`GET http://lab.test/abs ${HOST}\r\n`, { listener: 'norm' }),
      ['absolute url disallowed'],
    ),
    scenario('norm-local-reply', 'header_key_format holds for local replies', norm('/uf')),
    scenario('unescape', 'Escaped slashes are decoded and forwarded', get('/a%2Fb%5cc', { listener: 'unescape' })),
    scenario(
      'underscore-dropped',
      'Headers with underscores are dropped',
      get('/ok', { listener: 'unescape', headers: ['x_a: 1', 'x-b: 2'] }),
    ),
    scenario(
      'strip-other-port',
      'strip_matching_host_port keeps other ports',
      raw('GET /ok HTTP/1.1\r\nHost: lab.test:1234\r\n\r\n', { listener: 'unescape' }),
    ),
    scenario('unescape-redirect', 'Escaped slashes are redirected', get('/a%2Fb?q=%2F', { listener: 'unredirect' })),
    scenario(
      'trailers-response',
      'enable_trailers: response trailers pass',
      get('/ok', { listener: 'trailers', up: 'trailers' }),
    ),
    scenario(
      'trailers-request',
      'enable_trailers: request trailers pass',
      raw(`POST /ok ${HOST}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n`, {
        listener: 'trailers',
      }),
    ),
    scenario('trailers-h2', 'Trailers of an HTTP/1.1 upstream reach HTTP/2', {
      kind: 'h2',
      listener: 'trailers',
      streams: [
        { fields: fields('/ok', { ':method': 'POST', 'x-up': 'trailers' }), body: 'abc', trailers: [['x-t', '1']] },
      ],
    }),
    scenario(
      'chunked-length',
      'allow_chunked_length: content-length is removed',
      raw(`POST /ok ${HOST}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n2\r\nhi\r\n0\r\n\r\n`, {
        listener: 'lenient',
      }),
    ),
    scenario(
      'trailing-dot',
      'strip_trailing_host_dot',
      raw('GET /ok HTTP/1.1\r\nHost: lab.test.\r\n\r\n', { listener: 'lenient' }),
    ),
    scenario(
      'proxy-continue',
      'proxy_100_continue: expect goes to the upstream',
      raw(
        [
          `POST /ok ${HOST}x-up: early,continue,ok\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n`,
          { bytes: 20 },
          'hi',
        ],
        { listener: 'continue' },
      ),
      ['expect 100 with proxy_100_continue'],
    ),
    scenario(
      'proxy-early-hints',
      'proxy_100_continue does not let 103 through',
      get('/ok', { listener: 'continue', up: 'hints,ok' }),
    ),
    scenario(
      'local-mapped',
      'A mapper changes status, body and headers',
      get('/x', { listener: 'local', host: 'nomatch.test' }),
      ['404 mapped to 410'],
    ),
    scenario('local-format-override', 'A mapper with its own format', get('/uh', { listener: 'local' }), [
      'UH override text/html',
    ]),
    scenario('local-json', 'The JSON body format', get('/uf', { listener: 'local' }), ['UF default json body_format']),
    scenario('local-json-h2', 'The same over HTTP/2', h2('/uf', {}, 'local'), ['h2 header 404 L5 json']),
    scenario('local-direct', 'Direct responses are formatted too', get('/direct', { listener: 'local' }), [
      'direct response (is it mapped?)',
    ]),
    scenario('local-upstream', 'Upstream answers are not', get('/ok', { listener: 'local', up: 'status:404' }), [
      'upstream 404 (not mapped)',
    ]),
    scenario('local-codec', 'Codec errors are', raw('BAD\r\n\r\n', { listener: 'local' }), ['codec error']),
    scenario('local-direct-mapped', 'An empty direct 404 is mapped', get('/dnobody', { listener: 'local' }), [
      'direct 404 nobody',
    ]),
    scenario('local-redirect', 'A redirect gets a JSON body', get('/rp', { listener: 'local' }), ['redirect']),
    scenario('local-missing-host', 'A missing host', raw('GET / HTTP/1.1\r\n\r\n', { listener: 'local' }), [
      'missing host',
    ]),
  ],
}

export default group

import { bootstrap, cluster, H2_UPSTREAM, httpListener } from '../configs/builder.ts'
import { fields, type Group, get, grpc, h2, raw, type Scenario, type Step, scenario } from '../scenario.ts'

/** HTTP/2 on either side, on frames, and gRPC through it. */
const ROUTES = `
- {match: {path: /uf}, route: {cluster: closed}}
- {match: {path: /buf}, route: {cluster: a}}
- {match: {path: /ws}, route: {cluster: h2connect, upgrade_configs: [{upgrade_type: websocket}]}}
- {match: {path: /wsplain}, route: {cluster: h2, upgrade_configs: [{upgrade_type: websocket}]}}
- {match: {prefix: /wsno}, route: {cluster: h2noconnect, upgrade_configs: [{upgrade_type: websocket}]}}
- {match: {path: /wsh1}, route: {cluster: a, upgrade_configs: [{upgrade_type: websocket}]}}
- {match: {prefix: /one}, route: {cluster: h2one}}
- {match: {prefix: /auto}, route: {cluster: downstream_protocol}}
- {match: {prefix: /pkg.Svc/}, route: {cluster: h2}}
- {match: {prefix: /h2}, route: {cluster: h2}}
- {match: {prefix: /}, route: {cluster: a}}
`
const streams = (...list: Extract<Step, { kind: 'h2' }>['streams'][number][]): Step => ({
  kind: 'h2',
  listener: 'main',
  streams: list,
})
const raw2 = (rawFrames: string, listener = 'main'): Step => ({
  kind: 'h2',
  listener,
  streams: [],
  rawFrames,
  untilClosed: true,
})
const websocketTo = (path: string): Step =>
  raw(
    [
      `GET ${path} HTTP/1.1\r\nHost: lab.test\r\nx-up: early,status:200\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`,
      { wait: 150 },
      { end: true },
    ],
    { listener: 'main', responses: 0 },
  )
const bad = (name: string, doc: string, extra: Record<string, string>, covers: string[] = []): Scenario =>
  scenario(name, doc, h2('/ok', extra), covers)
const up = (path: string, script: string) => [
  get(path, { up: script }),
  h2(path, { 'x-up': script }),
  grpc(path, { 'x-up': script }),
]
const PRESENT: Record<string, string> = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' }

const group: Group = {
  name: 'http2',
  upstreams: {
    a: { kind: 'http1' },
    h2: { kind: 'h2' },
    h2noconnect: { kind: 'h2', script: 'settings:8=0' },
    h2one: { kind: 'h2', script: 'settings:3=1' },
  },
  config: bootstrap(
    [
      httpListener('main', { routes: ROUTES, hcm: 'http2_protocol_options: {max_concurrent_streams: 100}' }),
      httpListener('strict', {
        routes: ROUTES,
        hcm: `
codec_type: HTTP2
http2_protocol_options: {max_concurrent_streams: 2, initial_stream_window_size: 65535, allow_connect: true, override_stream_error_on_invalid_http_message: true}
upgrade_configs: [{upgrade_type: websocket}]
common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST, idle_timeout: 0.3s}
drain_timeout: 0.1s
`,
      }),
      httpListener('h1only', { routes: ROUTES, hcm: 'codec_type: HTTP1' }),
    ],
    [
      cluster('a', 'a'),
      cluster('closed', 'nobody'),
      cluster('h2', 'h2', H2_UPSTREAM),
      cluster('h2one', 'h2one', H2_UPSTREAM),
      cluster(
        'h2connect',
        'h2',
        H2_UPSTREAM.replace('http2_protocol_options: {}', 'http2_protocol_options: {allow_connect: true}'),
      ),
      cluster(
        'h2noconnect',
        'h2noconnect',
        H2_UPSTREAM.replace('http2_protocol_options: {}', 'http2_protocol_options: {allow_connect: true}'),
      ),
      cluster(
        'downstream_protocol',
        'h2',
        H2_UPSTREAM.replace(
          'explicit_http_config: {http2_protocol_options: {}}',
          'use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}',
        ),
      ),
    ],
  ),
  scenarios: [
    scenario('get', 'A request over prior knowledge', h2('/ok'), ['h2 ok']),
    scenario(
      'post',
      'A body in one frame',
      streams({ fields: fields('/ok', { ':method': 'POST', 'content-length': '5' }), body: 'hello' }),
    ),
    scenario(
      'post-no-length',
      'A body without content-length becomes chunked',
      streams({ fields: fields('/ok', { ':method': 'POST' }), body: 'hello' }),
    ),
    scenario('post-empty', 'A POST that ends with its headers', h2('/ok', { ':method': 'POST' })),
    scenario(
      'large-body',
      'A body of 200 KB, within flow control',
      streams({ fields: fields('/ok', { ':method': 'POST' }), body: 'z'.repeat(60_000) }),
    ),
    scenario('large-response', 'An answer of 300 KB', h2('/ok', { 'x-up': 'body:300000' })),
    scenario(
      'large-early-response',
      'An answer of 300 KB, more than the windows take at once, to a request that does not end',
      streams({ fields: fields('/ok', { ':method': 'POST', 'x-up': 'early,body:300000' }), body: 'abc', end: false }),
    ),
    scenario('head', 'HEAD', h2('/ok', { ':method': 'HEAD' })),
    scenario('status-204', '204', h2('/ok', { 'x-up': 'status:204' })),
    scenario(
      'three-streams',
      'Streams are answered as they are ready',
      streams(
        { fields: fields('/1', { 'x-up': 'delay:120,ok' }) },
        { fields: fields('/2', { 'x-up': 'delay:40,ok' }), after: 20 },
        { fields: fields('/3'), after: 20 },
      ),
      [],
      { unordered: true },
    ),
    scenario(
      'request-trailers',
      'Request trailers are dropped towards HTTP/1.1',
      streams({ fields: fields('/ok', { ':method': 'POST' }), body: 'abc', trailers: [['x-t', '1']] }),
    ),
    scenario(
      'trailers-through',
      'Trailers both ways over HTTP/2',
      streams({
        fields: fields('/h2', { ':method': 'POST', 'x-up': 'trailer:x-end=1' }),
        body: 'abc',
        trailers: [['x-t', '1']],
      }),
    ),
    scenario(
      'trailers-without-body',
      'Request trailers without a body',
      streams({ fields: fields('/h2', { ':method': 'POST' }), trailers: [['x-t', '1']] }),
    ),
    scenario(
      'cookies',
      'Cookie crumbs are joined',
      streams({ fields: [...fields('/ok'), ['cookie', 'a=1'], ['cookie', 'b=2']] }),
    ),
    scenario('host-header', 'host beside :authority', h2('/h2', { host: 'other.test' })),
    scenario(
      'host-instead',
      'host instead of :authority',
      streams({
        fields: [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':path', '/ok'],
          ['host', 'lab.test'],
        ],
      }),
    ),
    scenario(
      'client-reset',
      'The client resets its stream',
      streams({ fields: fields('/h2', { 'x-up': 'delay:250,ok' }), reset: { after: 80, code: 8 } }),
      [],
      { logLines: 1 },
    ),
    scenario(
      'client-reset-h1',
      'The same before an HTTP/1.1 upstream',
      streams({ fields: fields('/ok', { 'x-up': 'delay:250,ok' }), reset: { after: 80, code: 8 } }),
      [],
      { logLines: 1 },
    ),
    bad('empty-path', 'An empty :path', { ':path': '' }, ['h2 no :path']),
    scenario(
      'no-path',
      'No :path',
      streams({
        fields: [
          [':method', 'GET'],
          [':scheme', 'http'],
          [':authority', 'lab.test'],
        ],
      }),
    ),
    scenario(
      'no-method',
      'No :method',
      streams({
        fields: [
          [':scheme', 'http'],
          [':authority', 'lab.test'],
          [':path', '/ok'],
        ],
      }),
    ),
    scenario(
      'no-scheme',
      'No :scheme',
      streams({
        fields: [
          [':method', 'GET'],
          [':authority', 'lab.test'],
          [':path', '/ok'],
        ],
      }),
    ),
    bad('bad-method', 'A blank in the method', { ':method': 'FOO BAR' }, ['h2 bad method']),
    bad('custom-method', 'A method HTTP/1.1 does not know', { ':method': 'FOO' }),
    bad('relative-path', 'A path without slash', { ':path': 'ok' }, ['h2 relative path']),
    bad('fragment', 'A fragment in :path', { ':path': '/ok#f' }),
    bad('unknown-scheme', 'Another :scheme', { ':scheme': 'ftp' }),
    bad('underscore', 'Underscores pass', { x_a: '1' }, ['h2 underscore header']),
    bad('uppercase-name', 'An upper-case name is malformed', { 'X-A': '1' }),
    bad('connection-header', 'connection is malformed', { connection: 'close' }),
    bad('transfer-encoding', 'transfer-encoding is malformed', { 'transfer-encoding': 'chunked' }),
    bad('te-gzip', 'te other than trailers is malformed', { te: 'trailers, gzip' }, ['h2 te gzip']),
    bad('te-trailers', 'te: trailers passes', { te: 'trailers' }),
    bad('unknown-pseudo', 'An unknown pseudo-header', { ':foo': 'x' }),
    scenario(
      'pseudo-after-field',
      'A pseudo-header after a field',
      streams({ fields: [['x-a', '1'], ...fields('/ok')] }),
    ),
    scenario('pseudo-twice', 'Two :path', streams({ fields: [...fields('/ok'), [':path', '/other']] })),
    bad('big-header', 'A header of 70 KB', { 'x-a': 'a'.repeat(70_000) }, ['h2 big header']),
    scenario(
      'many-headers',
      'More than 100 headers',
      streams({
        fields: [...fields('/ok'), ...Array.from({ length: 101 }, (_, i): [string, string] => [`x-${i}`, '1'])],
      }),
    ),
    scenario(
      'length-too-long',
      'content-length is more than the body',
      streams({ fields: fields('/ok', { ':method': 'POST', 'content-length': '5' }), body: 'abc' }),
      ['h2 content-length mismatch'],
    ),
    scenario(
      'length-too-short',
      'content-length is less than the body',
      streams({ fields: fields('/ok', { ':method': 'POST', 'content-length': '2' }), body: 'abc' }),
    ),
    bad('expect', 'expect: 100-continue', { ':method': 'POST', expect: '100-continue' }),
    scenario(
      'connect',
      'CONNECT without extended CONNECT',
      streams({
        fields: [
          [':method', 'CONNECT'],
          [':authority', 'lab.test:443'],
        ],
      }),
      ['h2 CONNECT'],
    ),
    scenario(
      'extended-connect',
      'Extended CONNECT to a websocket over an HTTP/1.1 upstream',
      {
        kind: 'h2',
        listener: 'strict',
        streams: [
          {
            fields: [
              [':method', 'CONNECT'],
              [':protocol', 'websocket'],
              [':scheme', 'http'],
              [':authority', 'lab.test'],
              [':path', '/wsh1'],
              ['x-up', 'switch'],
            ],
            body: 'hello',
            end: false,
            reset: { after: 150, code: 8 },
          },
        ],
      },
      [],
      { logLines: 1 },
    ),
    scenario(
      'extended-connect-off',
      'Extended CONNECT where it was not announced',
      streams({
        fields: [
          [':method', 'CONNECT'],
          [':protocol', 'websocket'],
          [':scheme', 'http'],
          [':authority', 'lab.test'],
          [':path', '/wsh1'],
        ],
      }),
    ),
    scenario('websocket-to-h2', 'An HTTP/1.1 websocket becomes extended CONNECT upstream', websocketTo('/ws'), [], {
      logLines: 1,
    }),
    scenario(
      'websocket-to-h2-without-option',
      'allow_connect of the cluster is not asked for a websocket to HTTP/2',
      websocketTo('/wsplain'),
      [],
      { logLines: 1 },
    ),
    scenario(
      'websocket-to-h2-refused',
      'An upstream whose SETTINGS say that it does not want extended CONNECT gets it all the same',
      [get('/wsno/first'), websocketTo('/wsno/ws')],
      [],
      { logLines: 2 },
    ),
    scenario(
      'strict-two-streams',
      'A third stream over max_concurrent_streams is refused',
      {
        kind: 'h2',
        listener: 'strict',
        streams: ['1', '2', '3'].map(n => ({ fields: fields(`/${n}`, { 'x-up': 'delay:100,ok' }) })),
      },
      [],
      { unordered: true },
    ),
    scenario('strict-underscore', 'Underscores are rejected', h2('/ok', { x_a: '1' }, 'strict')),
    scenario('strict-bad-method', 'A malformed request is a stream error', {
      kind: 'h2',
      listener: 'strict',
      streams: [{ fields: fields('/ok', { ':method': 'FOO BAR' }) }, { fields: fields('/ok'), after: 30 }],
    }),
    scenario('strict-idle', 'GOAWAY and close after idle_timeout', {
      kind: 'h2',
      listener: 'strict',
      streams: [{ fields: fields('/ok') }],
      untilClosed: true,
    }),
    scenario(
      'strict-http1',
      'HTTP/1.1 on an HTTP/2 listener',
      raw('GET /ok HTTP/1.1\r\nHost: lab.test\r\n\r\n', { listener: 'strict' }),
    ),
    scenario('h1-only', 'HTTP/2 on an HTTP/1 listener', {
      kind: 'h2',
      listener: 'h1only',
      streams: [{ fields: fields('/ok') }],
      untilClosed: true,
    }),
    scenario('bad-frame-stream-0', 'DATA on stream 0', raw2('000001 00 00 00000000 78')),
    scenario('bad-frame-size', 'A frame larger than SETTINGS_MAX_FRAME_SIZE', raw2('004001 00 00 00000001')),
    scenario('even-stream', 'HEADERS on an even stream', raw2('000001 01 05 00000002 82')),
    scenario('bad-settings', 'A SETTINGS frame of five bytes', raw2('000005 04 00 00000000 0000000000')),
    scenario('bad-hpack', 'An index that is not in the table', raw2('000001 01 05 00000001 ff')),
    scenario('window-overflow', 'WINDOW_UPDATE beyond 2^31-1', raw2('000004 08 00 00000000 7fffffff')),
    scenario('unknown-frame', 'An unknown frame type is ignored', {
      kind: 'h2',
      listener: 'main',
      streams: [{ fields: fields('/ok') }],
      rawFrames: '000001 ee 00 00000000 78',
    }),
    scenario('upstream-trailers', 'Trailers of an HTTP/2 upstream', up('/h2', 'trailer:x-end=1')),
    scenario('upstream-headers-only', 'An answer that ends with its headers', up('/h2', 'headersonly')),
    scenario('upstream-rst-after', 'RST_STREAM in the body', up('/h2', 'rstafter:8')),
    scenario('upstream-rst-no-error', 'RST_STREAM NO_ERROR before headers', up('/h2', 'rst:0')),
    scenario('upstream-close', 'The connection closes', up('/h2', 'close')),
    scenario('upstream-connection-reset', 'The connection is reset', up('/h2', 'connrst')),
    scenario('upstream-bad-frame', 'A connection error of the upstream', up('/h2', 'badframe')),
    scenario('upstream-goaway', 'GOAWAY lets streams finish', [get('/h2', { up: 'goaway,ok' }), get('/h2')]),
    scenario('upstream-hints', '103 is swallowed', up('/h2', 'hints,ok')),
    scenario('upstream-204', '204 without a body', get('/h2', { up: 'status:204,headersonly' })),
    scenario('upstream-bodiless', 'Lengths and bodies of answers that have none', [
      get('/h2', { up: 'status:204,hdr:content-length=0,headersonly' }),
      h2('/h2', { 'x-up': 'status:204,hdr:content-length=0,headersonly' }),
      h2('/h2', { 'x-up': 'status:204,hdr:content-length=0' }),
      h2('/h2', { 'x-up': 'status:204,hdr:content-length=5,headersonly' }),
      h2('/h2', { 'x-up': 'status:204' }),
      h2('/h2', { 'x-up': 'status:304,hdr:content-length=0' }),
      h2('/h2', { 'x-up': 'status:304' }),
      h2('/h2', { ':method': 'HEAD', 'x-up': 'ok' }),
      h2('/h2', { ':method': 'HEAD', 'x-up': 'hdr:content-length=5,headersonly' }),
    ]),
    scenario(
      'upstream-max-streams',
      'SETTINGS_MAX_CONCURRENT_STREAMS of 1 makes a second connection',
      {
        kind: 'together',
        steps: [
          { after: 0, step: get('/one') },
          { after: 30, step: get('/one') },
        ],
      },
      [],
      { unordered: true, stats: ['^cluster\\.h2one\\.upstream_(cx_total|rq_total)$'] },
    ),
    scenario('upstream-body', 'A request body to HTTP/2', get('/h2', { method: 'POST', body: 'hello' })),
    scenario(
      'upstream-hop-by-hop',
      'Hop-by-hop headers do not reach HTTP/2',
      raw(
        'POST /h2 HTTP/1.1\r\nHost: lab.test\r\nconnection: x-a\r\nx-a: 1\r\nkeep-alive: 5\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      ),
    ),
    scenario('downstream-protocol', 'use_downstream_protocol_config', h2('/auto')),
    scenario('grpc-ok', 'gRPC with trailers', grpc('/pkg.Svc/ok', { 'x-up': 'grpc:0' }), ['grpc grpc upstream ok']),
    scenario('grpc-status', 'A gRPC status', grpc('/pkg.Svc/x', { 'x-up': 'grpc:5:msg%205' }), [
      'grpc grpc upstream status 5',
    ]),
    scenario('grpc-trailers-only', 'Trailers only', grpc('/pkg.Svc/x', { 'x-up': 'tonly:7:only' }), [
      'grpc grpc upstream trailers-only 7',
    ]),
    scenario('grpc-http-503', 'An HTTP error passes unchanged', grpc('/pkg.Svc/x', { 'x-up': 'status:503' }), [
      'grpc grpc upstream http 503',
    ]),
    scenario('grpc-reset', 'RST_STREAM before headers', grpc('/pkg.Svc/x', { 'x-up': 'rst:2' }), [
      'grpc grpc upstream rst',
    ]),
    scenario('grpc-h1-404', 'A 404 of an HTTP/1.1 upstream', grpc('/x', { 'x-up': 'status:404' }), [
      'grpc h1 upstream 404 to grpc client',
    ]),
    scenario(
      'grpc-over-http1',
      'A gRPC request over HTTP/1.1 gets a local reply',
      get('/uf', { method: 'POST', headers: ['content-type: application/grpc'], body: '' }),
    ),
    scenario(
      'grpc-web-local',
      'gRPC-Web is not gRPC',
      h2('/uf', { ...PRESENT, 'content-type': 'application/grpc-web' }),
    ),
    scenario(
      'grpc-proto-local',
      'application/grpc+proto is',
      h2('/uf', { ...PRESENT, 'content-type': 'application/grpc+proto' }),
    ),
    scenario(
      'grpc-stats',
      'gRPC counters of a cluster',
      [grpc('/pkg.Svc/Ok', { 'x-up': 'grpc:0' }), grpc('/pkg.Svc/Fail', { 'x-up': 'grpc:13' })],
      [],
      { stats: ['^cluster\\.h2\\.(upstream_rq_2xx|upstream_rq_completed|grpc)', '^cluster\\.h2\\.upstream_rq_total'] },
    ),
  ],
}

export default group

import { bootstrap, cluster, fileLog, httpListener, LOG_FORMAT, typed } from '../configs/builder.ts'
import { type Group, get, h2, type RequestOptions, raw, requestBytes, type Step, scenario } from '../scenario.ts'

/**
 * Requests that an HTTP authorization service is asked about: what it gets, what its answer does. It obeys the same `x-up` header as
 * the upstream: its answer comes first, the upstream's behind the bar.
 */
const TYPE = 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz'
const PER_ROUTE = 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'
const NAME = 'envoy.filters.http.ext_authz'
const FORMAT = LOG_FORMAT.replace('type=', 'md=%DYNAMIC_METADATA(envoy.filters.http.ext_authz)% type=')
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const perRoute = (body: string): string => `{${NAME}: {"@type": type.googleapis.com/${PER_ROUTE}, ${body}}}`
const ALLOW_UP = 'authorization_request: {allowed_headers: {patterns: [{exact: x-up}]}}'
const service = (more = ALLOW_UP, cluster = 'auth', timeout = '2s'): string =>
  `http_service: {server_uri: {uri: "http://auth.test", cluster: ${cluster}, timeout: ${timeout}}, ${more}}`
const patterns = (...names: readonly string[]): string =>
  `{patterns: [${names.map(name => (name.endsWith('*') ? `{prefix: ${name.slice(0, -1)}}` : `{exact: ${name}}`)).join(', ')}]}`

const http = (name: string, body: string, more: { routes?: string; vhost?: string; before?: object[] } = {}) =>
  httpListener(name, {
    routes: more.routes ?? '[{match: {prefix: /}, route: {cluster: a}}]',
    hcm: LOG,
    ...(more.vhost === undefined ? {} : { vhost: more.vhost }),
    filters: [
      ...((more.before ?? []) as Record<string, unknown>[]),
      typed(NAME, TYPE, `transport_api_version: V3\n${body}`),
    ],
  })
const ask = (listener: string, path: string, options: RequestOptions = {}): Step => get(path, { listener, ...options })
const STATS = (name: string) => [
  `^http\\.${name}\\.ext_authz\\.`,
  '^cluster\\.a\\.(ext_authz|upstream_rq_(403|4xx|401|completed)|internal)',
]
const stats = (...names: readonly string[]) => ({ stats: names.flatMap(STATS), shuffledHeads: ['auth', 'auth2'] })

const group: Group = {
  name: 'ext-authz',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' }, auth: { kind: 'http1' }, auth2: { kind: 'http1' } },
  config: bootstrap(
    [
      http('plain', service()),
      http(
        'rich',
        `
http_service:
  server_uri: {uri: "http://auth.test:90", cluster: auth, timeout: 2s}
  path_prefix: /check
  authorization_request:
    headers_to_add: [{key: x-added, value: "by %PROTOCOL%"}, {key: x-mine, value: new}]
  authorization_response:
    allowed_upstream_headers: ${patterns('x-set', 'x-auth-*')}
    allowed_upstream_headers_to_append: ${patterns('x-append')}
    allowed_client_headers: ${patterns('x-client')}
    allowed_client_headers_on_success: ${patterns('x-success', 'set-cookie')}
    dynamic_metadata_from_headers: ${patterns('x-md*')}
allowed_headers: ${patterns('x-up', 'x-pass*', 'X-Mine', 'content-type')}
disallowed_headers: ${patterns('x-pass-not')}
`,
      ),
      http('override', service('path_override: /always').replace('{server_uri', `{${ALLOW_UP}, server_uri`)),
      http('status', `${service()}\nstatus_on_error: {code: 502}`),
      http('fast', service(ALLOW_UP, 'auth', '0.1s')),
      http('allow', `${service()}\nfailure_mode_allow: true`),
      http('allowheader', `${service()}\nfailure_mode_allow: true\nfailure_mode_allow_header_add: true`),
      http('nocluster', service(ALLOW_UP, 'gone')),
      http('dead', service(ALLOW_UP, 'dead')),
      http('empty', `${service(ALLOW_UP, 'empty')}`),
      http('body', `${service()}\nwith_request_body: {max_request_bytes: 10}`, {
        routes: `
- match: {prefix: /none}
  route: {cluster: a}
  typed_per_filter_config: ${perRoute('check_settings: {disable_request_body_buffering: true}')}
- match: {prefix: /more}
  route: {cluster: a}
  typed_per_filter_config: ${perRoute('check_settings: {with_request_body: {max_request_bytes: 20, allow_partial_message: true}}')}
- match: {prefix: /}
  route: {cluster: a}
`,
      }),
      http(
        'partial',
        `${service(`authorization_request: {allowed_headers: ${patterns('x-up', 'x-envoy-auth-partial-body')}}`)}\nwith_request_body: {max_request_bytes: 10, allow_partial_message: true}`,
      ),
      http(
        'packed',
        `${service()}\nwith_request_body: {max_request_bytes: 10, allow_partial_message: true, pack_as_bytes: true}`,
      ),
      http(
        'reroute',
        `${service(`${ALLOW_UP}, authorization_response: {allowed_upstream_headers: ${patterns('x-to', 'x-other')}}`)}\nclear_route_cache: true`,
        {
          routes: `
- match: {prefix: /, headers: [{name: x-to, string_match: {exact: b}}]}
  route: {cluster: b}
- match: {prefix: /}
  route: {cluster: a}
`,
        },
      ),
      http(
        'noreroute',
        service(`${ALLOW_UP}, authorization_response: {allowed_upstream_headers: ${patterns('x-to')}}`),
        {
          routes: `
- match: {prefix: /, headers: [{name: x-to, string_match: {exact: b}}]}
  route: {cluster: b}
- match: {prefix: /}
  route: {cluster: a}
`,
        },
      ),
      http('off', `${service()}\nfilter_enabled: {default_value: {numerator: 0}}`),
      http(
        'offdeny',
        `${service()}\nfilter_enabled: {default_value: {numerator: 0}}\ndeny_at_disable: {default_value: true, runtime_key: x}\nstatus_on_error: {code: 451}`.replace(
          '451',
          '503',
        ),
      ),
      http(
        'bymetadata',
        `${service()}\nfilter_enabled_metadata: {filter: envoy.filters.http.rbac, path: [{key: istio_ext_authz_shadow_effective_policy_id}], value: {string_match: {prefix: istio-ext-authz}}}`,
        {
          before: [
            typed(
              'rbac',
              'envoy.extensions.filters.http.rbac.v3.RBAC',
              'shadow_rules: {action: DENY, policies: {istio-ext-authz-x: {permissions: [{url_path: {path: {prefix: /ask}}}], principals: [{any: true}]}}}\nshadow_rules_stat_prefix: istio_ext_authz_',
            ),
          ],
        },
      ),
      http('route', service(), {
        routes: `
- match: {prefix: /off}
  route: {cluster: a}
  typed_per_filter_config: ${perRoute('disabled: true')}
- match: {prefix: /other}
  route: {cluster: a}
  typed_per_filter_config: ${perRoute(`check_settings: {${service(ALLOW_UP, 'auth2').replace('auth.test', 'auth2.test')}}`)}
- match: {prefix: /reply}
  direct_response: {status: 202, body: {inline_string: hi}}
- match: {prefix: /redirect}
  redirect: {path_redirect: /}
- match: {prefix: /ok}
  route: {cluster: a}
`,
      }),
      http(
        'rules',
        `
${service(`${ALLOW_UP}, authorization_response: {allowed_upstream_headers: ${patterns('x-*', 'other')}}`)}
decoder_header_mutation_rules: {disallow_expression: {regex: "x-no.*"}}
`,
      ),
      http(
        'strict',
        `
${service(`${ALLOW_UP}, authorization_response: {allowed_upstream_headers: ${patterns('x-*', 'other')}}`)}
decoder_header_mutation_rules: {disallow_expression: {regex: "x-no.*"}, disallow_is_error: true}
`,
      ),
      http('named', `${service()}\nstat_prefix: waf\ncharge_cluster_response_stats: false`),
      http('short', `${service()}\nmax_denied_response_body_bytes: 5`),
      http(
        'noingest',
        `${service(`${ALLOW_UP}, authorization_response: {dynamic_metadata_from_headers: ${patterns('x-md')}}`)}\nenable_dynamic_metadata_ingestion: false`,
      ),
      http(
        'retried',
        service(
          `${ALLOW_UP}, retry_policy: {num_retries: 2, retry_on: 5xx, retry_back_off: {base_interval: 0.01s, max_interval: 0.02s}}`,
        ),
      ),
    ],
    [
      cluster('a', 'a'),
      cluster('b', 'b'),
      cluster('auth', 'auth'),
      cluster('auth2', 'auth2'),
      cluster('dead', 'nobody'),
      cluster('empty', []),
    ],
  ),
  scenarios: [
    scenario(
      'allowed',
      'The service gets method, path, host and authorization; 200 lets the request pass as it is',
      [
        ask('plain', '/p?q=1', { up: 'hdr:x-new=1|ok', headers: ['authorization: Bearer x', 'x-secret: 1'] }),
        ask('plain', '/post', { up: 'ok|ok', method: 'POST', body: 'hello', host: 'other.test:81' }),
        ask('plain', '/head', { up: 'ok|ok', method: 'HEAD' }),
      ],
      [],
      stats('plain'),
    ),
    scenario(
      'denied',
      'Any other status is the answer, with its body and headers; flag UAEX, details ext_authz_denied',
      [
        ask('plain', '/1', { up: 'status:403,hdr:x-why=no,hdr:set-cookie=a,hdr:set-cookie=b' }),
        ask('plain', '/2', { up: 'status:401,bare,hdr:www-authenticate=Basic' }),
        ask('plain', '/3', { up: 'status:302,hdr:location=http://login.test/' }),
        ask('plain', '/4', { up: 'status:201' }),
        ask('plain', '/5', { up: 'status:404,body:0' }),
        ask('plain', '/6', { up: 'status:403', method: 'HEAD' }),
        ask('plain', '/7', { up: 'status:204' }),
        h2('/h2', { 'x-up': 'status:403' }, 'plain'),
      ],
      [],
      stats('plain'),
    ),
    scenario(
      'denied-grpc',
      'A gRPC client gets its status in trailers',
      h2('/s/m', { 'x-up': 'status:403,hdr:x-why=no', ':method': 'POST', 'content-type': 'application/grpc' }, 'plain'),
      [],
      stats('plain'),
    ),
    scenario(
      'error',
      'Without an answer requests are refused with 403',
      [
        ask('plain', '/1', { up: 'status:500' }),
        ask('plain', '/2', { up: 'close' }),
        ask('fast', '/3', { up: 'hang' }),
        ask('status', '/4', { up: 'status:503' }),
        ask('nocluster', '/5'),
        ask('dead', '/6'),
        ask('empty', '/7'),
      ],
      [],
      stats('plain', 'fast', 'status', 'nocluster', 'dead', 'empty'),
    ),
    scenario(
      'failure-mode-allow',
      'Or they pass, with a header when asked for',
      [
        ask('allow', '/1', { up: 'status:503|ok' }),
        ask('allowheader', '/2', { up: 'status:502|ok' }),
        ask('allowheader', '/3', { up: 'status:403' }),
      ],
      [],
      stats('allow', 'allowheader'),
    ),
    scenario(
      'headers',
      'Which headers go to the service, to the upstream and to the client',
      [
        ask('rich', '/p?q', {
          up: 'hdr:x-set=1,hdr:x-set=2,hdr:x-auth-a=a,hdr:x-append=b,hdr:x-client=c,hdr:x-success=s,hdr:set-cookie=c1,hdr:set-cookie=c2,hdr:x-md=m,hdr:x-md-2=n,hdr:x-envoy-auth-headers-to-remove=x-gone|ok,hdr:set-cookie=u',
          headers: [
            'x-set: old',
            'x-append: old',
            'x-pass: 1',
            'x-pass-2: a',
            'x-pass-2: b',
            'x-pass-not: n',
            'x-mine: old',
            'x-gone: 1',
            'X-PASS-3: c',
          ],
        }),
        ask('rich', '/r', {
          up: 'hdr:x-envoy-auth-headers-to-remove=x-gone|ok',
          headers: ['x-gone: 1', 'content-type: a/b'],
        }),
        ask('rich', '/d', {
          up: 'status:403,hdr:x-client=c,hdr:x-other=o,hdr:x-md=m,hdr:x-success=s,hdr:location=l,hdr:www-authenticate=w',
        }),
        ask('rich', '/e', { up: 'status:500,hdr:x-md=m' }),
        ask('override', '/x?y', { up: 'ok|ok' }),
      ],
      [],
      stats('rich', 'override'),
    ),
    scenario(
      'body',
      'with_request_body: the service gets the body, which may not be longer',
      [
        ask('body', '/1', { up: 'ok|ok', method: 'POST', body: '0123456789' }),
        ask('body', '/2', { up: 'ok|ok', method: 'POST', body: '01234567890' }),
        ask('body', '/3', { up: 'status:403', method: 'POST', body: 'no' }),
        ask('body', '/4', { up: 'ok|ok' }),
        ask('body', '/none', { up: 'ok|ok', method: 'POST', body: '01234567890123456789' }),
        ask('body', '/more', { up: 'ok|ok', method: 'POST', body: '0123456789012345678901234567890123456789' }),
        raw(
          [
            'POST /5 HTTP/1.1\r\nhost: lab.test\r\nx-up: ok|ok\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n',
            { wait: 50 },
            '3\r\ndef\r\n0\r\n\r\n',
          ],
          { listener: 'body' },
        ),
      ],
      [],
      stats('body'),
    ),
    scenario(
      'partial-body',
      'allow_partial_message: the beginning is enough, and a header says so',
      [
        ask('partial', '/1', { up: 'ok|ok', method: 'POST', body: '0123456789abcdef' }),
        ask('partial', '/2', { up: 'ok|ok', method: 'POST', body: '0123' }),
        ask('partial', '/3', { up: 'status:403', method: 'POST', body: '0123456789abcdef' }),
        ask('partial', '/4', { up: 'ok|ok' }),
        ask('packed', '/5', { up: 'ok|ok', method: 'POST', body: '0123456789abcdef' }),
        raw(
          [
            'POST /6 HTTP/1.1\r\nhost: lab.test\r\nx-up: ok|ok\r\nx-envoy-auth-partial-body: mine\r\ncontent-length: 20\r\n\r\n0123456789',
            { wait: 100 },
            'abcdefghij',
          ],
          { listener: 'partial' },
        ),
      ],
      [],
      stats('partial', 'packed'),
    ),
    scenario(
      'route-cache',
      'clear_route_cache: headers of the service may choose another route',
      [
        ask('reroute', '/1', { up: 'hdr:x-to=b|ok' }),
        ask('reroute', '/2', { up: 'hdr:x-to=c|ok' }),
        ask('noreroute', '/3', { up: 'hdr:x-to=b|ok' }),
      ],
      [],
      stats('reroute'),
    ),
    scenario(
      'disabled',
      'filter_enabled and deny_at_disable; filter_enabled_metadata',
      [
        ask('off', '/1', { up: 'ok' }),
        ask('offdeny', '/2', { up: 'ok' }),
        ask('bymetadata', '/ask', { up: 'status:403|ok' }),
        ask('bymetadata', '/pass', { up: 'ok' }),
      ],
      [],
      stats('off', 'offdeny', 'bymetadata'),
    ),
    scenario(
      'per-route',
      'A route may need no check, or another service; direct responses and redirects are asked about too, missing routes are not',
      [
        ask('route', '/off', { up: 'ok' }),
        ask('route', '/other', { up: 'status:403' }),
        ask('route', '/reply', { up: 'status:403' }),
        ask('route', '/reply', { up: 'ok' }),
        ask('route', '/redirect', { up: 'ok' }),
        ask('route', '/ok', { up: 'ok|ok' }),
        ask('route', '/missing', { up: 'ok' }),
      ],
      [],
      stats('route'),
    ),
    scenario(
      'mutation-rules',
      'decoder_header_mutation_rules: what may not be changed is left, or the request refused',
      [
        ask('rules', '/1', { up: 'hdr:x-yes=1,hdr:x-no-1=2,hdr:other=3|ok', headers: ['x-no-1: old'] }),
        ask('strict', '/2', { up: 'hdr:x-yes=1,hdr:x-no-1=2|ok' }),
        ask('strict', '/3', { up: 'hdr:x-yes=1|ok' }),
      ],
      [],
      stats('rules', 'strict'),
    ),
    scenario(
      'stat-prefix',
      'stat_prefix; charge_cluster_response_stats',
      [
        ask('named', '/1', { up: 'status:403' }),
        ask('named', '/2', { up: 'status:500' }),
        ask('named', '/3', { up: 'ok|ok' }),
      ],
      [],
      stats('named'),
    ),
    scenario(
      'limits',
      'max_denied_response_body_bytes; enable_dynamic_metadata_ingestion',
      [ask('short', '/1', { up: 'status:403' }), ask('noingest', '/2', { up: 'hdr:x-md=1|ok' })],
      [],
      stats('short', 'noingest'),
    ),
    scenario(
      'retry',
      'retry_policy of the service',
      [ask('retried', '/1', { up: 'status:503|status:503|ok|ok' }), ask('retried', '/2', { up: 'status:503' })],
      [],
      { ...stats('retried'), stats: ['^http\\.retried\\.ext_authz\\.', '^cluster\\.auth\\.upstream_rq_retry'] },
    ),
    scenario(
      'gone-while-asked',
      'A client that goes away takes its check with it',
      [
        raw([requestBytes('/1', { up: 'hang' }), { wait: 50 }, { reset: true }], { listener: 'plain', responses: 0 }),
        { kind: 'wait', ms: 100 },
      ],
      [],
      { ...stats('plain'), logLines: 1 },
    ),
  ],
}

export default group

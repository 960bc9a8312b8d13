import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { limitWord } from '../../harness/authz-wire.ts'
import { bootstrap, cluster, fileLog, H2_UPSTREAM, httpListener, LOG_FORMAT, typed } from '../configs/builder.ts'
import { type Group, get, h2, type RequestOptions, type Step, scenario } from '../scenario.ts'

/** Requests that a rate limit service is asked about; what it answers is in the request's `x-rl`. */
const TYPE = 'envoy.extensions.filters.http.ratelimit.v3.RateLimit'
const PER_ROUTE = 'envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute'
const NAME = 'envoy.filters.http.ratelimit'
const FORMAT = LOG_FORMAT.replace('type=', `md=%DYNAMIC_METADATA(${NAME})% other=%DYNAMIC_METADATA(other)% type=`)
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const SERVICE = (name = 'limits') =>
  `rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: ${name}}, initial_metadata: [{key: x-up, value: "%REQ(x-rl)%"}]}}`
const perRoute = (body: string): string => `{${NAME}: {"@type": type.googleapis.com/${PER_ROUTE}, ${body}}}`
const generic = (value: string, more = '') => `{actions: [{generic_key: {descriptor_value: ${value}}}]${more}}`
const ROUTES = `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${generic('all')}]}}]`

const http = (
  name: string,
  body = '',
  more: { routes?: string; vhost?: string; after?: Record<string, unknown>[]; service?: string } = {},
) =>
  httpListener(name, {
    routes: more.routes ?? ROUTES,
    hcm: LOG,
    ...(more.vhost === undefined ? {} : { vhost: more.vhost }),
    filters: [
      typed(NAME, TYPE, `domain: test\ntimeout: 0.5s\n${SERVICE(more.service)}\n${body}`),
      ...(more.after ?? []),
    ],
  })

type Response = envoy.service.ratelimit.v3.RateLimitResponse
const OK: Response = { overall_code: 'OK' }
const OVER: Response = { overall_code: 'OVER_LIMIT' }
const ask = (listener: string, path: string, response: Response | string, options: RequestOptions = {}): Step =>
  get(path, {
    listener,
    ...options,
    headers: [`x-rl: ${typeof response === 'string' ? response : limitWord(response)}`, ...(options.headers ?? [])],
  })
const stats = (...infixes: readonly string[]) => ({
  stats: [
    '^cluster\\.a\\.(ratelimit|internal|upstream_rq_429|upstream_rq_completed)',
    ...infixes.map(infix => `^cluster\\.a\\.ratelimit\\.${infix}\\.`),
  ],
})
const ACTIONS = [
  '{generic_key: {descriptor_value: v, descriptor_key: k}}',
  '{request_headers: {header_name: x-user, descriptor_key: user, skip_if_absent: true}}',
  '{destination_cluster: {}}',
  '{source_cluster: {}}',
  '{remote_address: {}}',
].join(', ')
const DETAILED: Response = {
  overall_code: 'OK',
  statuses: [
    { code: 'OK', limit_remaining: 9 },
    {
      code: 'OK',
      current_limit: { requests_per_unit: 10, unit: 'MINUTE', name: 'ten' },
      limit_remaining: 4,
      duration_until_reset: 30500,
    },
    {
      code: 'OK',
      current_limit: { requests_per_unit: 7, unit: 'WEEK' },
      limit_remaining: 3,
      duration_until_reset: 5000,
    },
    { code: 'OK', current_limit: { requests_per_unit: 5 }, limit_remaining: 6 },
  ],
  response_headers_to_add: [
    { key: 'x-from-limits', value: 'one' },
    { key: 'x-from-limits', value: 'two' },
  ],
  request_headers_to_add: [{ key: 'x-to-upstream', value: 'yes' }],
  dynamic_metadata: { left: 4, who: { name: 'joe' } },
}
const REFUSED: Response = {
  ...DETAILED,
  overall_code: 'OVER_LIMIT',
  raw_body: Buffer.from('slow down\n'),
  response_headers_to_add: [
    { key: 'content-type', value: 'text/x-limit' },
    { key: 'x-from-limits', value: 'one' },
  ],
}
const LATER: Response = {
  overall_code: 'OVER_LIMIT',
  statuses: [
    { code: 'OVER_LIMIT', current_limit: { requests_per_unit: 10, unit: 'MINUTE' }, duration_until_reset: 20500 },
    { code: 'OVER_LIMIT', current_limit: { requests_per_unit: 10, unit: 'HOUR' }, duration_until_reset: 100000 },
    { code: 'OK', current_limit: { requests_per_unit: 10, unit: 'DAY' }, duration_until_reset: 500000 },
  ],
}
const SHORT: Response = { overall_code: 'OVER_LIMIT', statuses: [{ code: 'OVER_LIMIT', duration_until_reset: 400 }] }
const TWO: Response = {
  overall_code: 'OK',
  statuses: [
    { code: 'OK', current_limit: { requests_per_unit: 1, unit: 'HOUR' }, limit_remaining: 0 },
    { code: 'OK', current_limit: { requests_per_unit: 2, unit: 'DAY' }, limit_remaining: 5 },
  ],
}
const [FIRST, SECOND] = TWO.statuses!
const TURNED: Response = { ...TWO, statuses: [{ ...FIRST!, limit_remaining: 9 }, SECOND!] }
const ONE: Response = { ...TWO, statuses: [FIRST!] }
const MULTIPLIED: Response = {
  overall_code: 'OK',
  statuses: [
    { code: 'OK', current_limit: { requests_per_unit: 1, unit: 'HOUR', unit_multiplier: 3 }, limit_remaining: 1 },
  ],
}
const LEVELS = `
- match: {prefix: /own}
  route: {cluster: a, rate_limits: [${generic('route')}]}
- match: {prefix: /none}
  route: {cluster: a}
- match: {prefix: /include}
  route: {cluster: a, rate_limits: [${generic('route')}]}
  typed_per_filter_config: ${perRoute('vh_rate_limits: INCLUDE')}
- match: {prefix: /ignore}
  route: {cluster: a}
  typed_per_filter_config: ${perRoute('vh_rate_limits: IGNORE')}
- match: {prefix: /policy}
  route: {cluster: a, rate_limits: [${generic('route')}]}
  typed_per_filter_config: ${perRoute('override_option: INCLUDE_POLICY')}
- match: {prefix: /flag}
  route: {cluster: a, rate_limits: [${generic('route')}], include_vh_rate_limits: true}
- match: {prefix: /domain}
  route: {cluster: a, rate_limits: [${generic('route')}]}
  typed_per_filter_config: ${perRoute('domain: elsewhere')}
- match: {prefix: /instead}
  route: {cluster: a, rate_limits: [${generic('route')}]}
  typed_per_filter_config: ${perRoute(`rate_limits: [${generic('instead')}]`)}
- match: {prefix: /}
  direct_response: {status: 200}
`

/** Chooses the route anew, by the header that its service gives. */
const REROUTE = typed(
  'envoy.filters.http.ext_authz',
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
  `
transport_api_version: V3
clear_route_cache: true
http_service:
  server_uri: {uri: "http://auth.test", cluster: auth, timeout: 0.5s}
  authorization_request: {allowed_headers: {patterns: [{exact: x-up}]}}
  authorization_response: {allowed_upstream_headers: {patterns: [{exact: x-to}]}}
`,
)
const REROUTES = `
- match: {prefix: /, headers: [{name: x-to, string_match: {exact: nowhere}}]}
  direct_response: {status: 200}
- match: {prefix: /, headers: [{name: x-to, string_match: {exact: other}}]}
  route: {cluster: a, rate_limits: [${generic('other', ', apply_on_stream_done: true')}]}
- match: {prefix: /}
  route: {cluster: a, rate_limits: [${generic('begin')}, ${generic('done', ', apply_on_stream_done: true')}]}
`
/** Headers that there may be once, and others. */
const ADDED = [
  { key: 'User-Agent', value: 'one' },
  { key: 'user-agent', value: 'two' },
  { key: 'host', value: 'added' },
  { key: ':path', value: '/added' },
  { key: 'vary', value: 'one' },
  { key: 'vary', value: 'two' },
  { key: 'server', value: 'added' },
  { key: 'content-type', value: 'text/added' },
  { key: 'x-other', value: 'one' },
  { key: 'x-other', value: 'two' },
]
/** Headers that would end a field, are none, or are not the service's to say. */
const UNSENDABLE = [
  ['x-a', 'a\r\nx-split: b'],
  ['x-a', 'a\rb'],
  ['x-a', 'a\0b'],
  ['x-a: b\r\nx-split', 'c'],
  ['x a', 'b'],
  [':path', '/elsewhere'],
  [':status', '299'],
  ['host', 'elsewhere'],
] as const

const group: Group = {
  name: 'ratelimit',
  upstreams: { a: { kind: 'http1' }, limits: { kind: 'h2' }, auth: { kind: 'http1' } },
  config: bootstrap(
    [
      http('plain'),
      http('actions', '', {
        routes: `[{match: {prefix: /}, route: {cluster: a, rate_limits: [{actions: [${ACTIONS}]}, {actions: [{request_headers: {header_name: x-user, descriptor_key: second}}]}]}}]`,
      }),
      http('levels', '', { routes: LEVELS, vhost: `rate_limits: [${generic('host')}]` }),
      http('filter', `rate_limits: [${generic('filter')}]\nstat_prefix: mine`, {
        routes: LEVELS,
        vhost: `rate_limits: [${generic('host')}]`,
      }),
      http('stage', 'stage: 2', {
        routes: `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${generic('zero')}, ${generic('two', ', stage: 2')}, ${generic('off', ', stage: 2, disable_key: some')}]}}]`,
      }),
      http('internal', 'request_type: internal'),
      http('external', 'request_type: external'),
      http('headers', 'enable_x_ratelimit_headers: DRAFT_VERSION_03\nenable_retry_after_header: true'),
      http(
        'quiet',
        'disable_x_envoy_ratelimited_header: true\nrate_limited_status: {code: 503}\nrate_limited_as_resource_exhausted: true\nresponse_headers_to_add: [{header: {key: x-mine, value: "%PROTOCOL%"}}]\nmetadata_namespace: other',
      ),
      http('deny', 'failure_mode_deny: true\nstatus_on_error: {code: 502}'),
      http('denypart', 'failure_mode_deny: true\nfailure_mode_deny_percent: {default_value: {numerator: 0}}'),
      http(
        'unenforced',
        'filter_enforced: {default_value: {numerator: 0}}\nenable_x_ratelimit_headers: DRAFT_VERSION_03',
      ),
      http('off', 'filter_enabled: {default_value: {numerator: 0}}'),
      http('gone', '', { service: 'nowhere' }),
      http('hits', '', {
        routes: `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${generic('four', ', hits_addend: {number: 4}')}, ${generic('length', ', hits_addend: {format: "%REQ(x-hits)%"}')}, ${generic('back', ', hits_addend: {number: 2, is_negative_hits: true}')}]}}]`,
      }),
      http('done', '', {
        routes: `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${generic('begin')}, ${generic('done', ', apply_on_stream_done: true, hits_addend: {format: "%BYTES_SENT%"}')}]}}]`,
      }),
      http('only_done', '', {
        routes: `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${generic('done', ', apply_on_stream_done: true, hits_addend: {format: "%RESPONSE_CODE%"}')}]}}]`,
      }),
      http(
        'own_hits',
        `rate_limits: [${generic('four', ', hits_addend: {number: 4}')}, ${generic('format', ', hits_addend: {format: "%REQ(x-hits)%"}')}, ${generic('back', ', hits_addend: {number: 2, is_negative_hits: true}')}, ${generic('done', ', apply_on_stream_done: true, hits_addend: {format: "%BYTES_SENT%"}')}, ${generic('zero', ', hits_addend: {number: 0}')}]`,
      ),
      http('retry', 'enable_retry_after_header: true'),
      http(
        'per_limit',
        `enable_x_ratelimit_headers: DRAFT_VERSION_03\nrate_limits: [${generic('a', ', x_ratelimit_option: OFF')}, ${generic('b')}]`,
      ),
      http('per_limit_on', `rate_limits: [${generic('a', ', x_ratelimit_option: DRAFT_VERSION_03')}, ${generic('b')}]`),
      http('static_limit', '', {
        routes: `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${generic('limited', ', limit: {rate_limit: {requests_per_unit: 5, unit: DAY}}')}]}}]`,
      }),
      http('rerouted', '', { routes: REROUTES, after: [REROUTE] }),
    ],
    [cluster('a', 'a'), cluster('limits', 'limits', H2_UPSTREAM), cluster('auth', 'auth')],
  ),
  scenarios: [
    scenario('ok', 'The service lets it pass', ask('plain', '/', OK), [], stats()),
    scenario(
      'over',
      'Over the limit: 429',
      [ask('plain', '/', OVER), h2('/', { 'x-rl': limitWord(OVER), 'content-type': 'application/grpc' }, 'plain')],
      [],
      stats(),
    ),
    scenario('unknown', 'An answer without a code', ask('plain', '/', {}), [], stats()),
    scenario(
      'broken',
      'A call that fails lets requests pass',
      [ask('plain', '/1', 'rst:2'), ask('plain', '/2', 'status:503'), ask('gone', '/3', OK)],
      [],
      { ...stats(), upstream: false },
    ),
    scenario('deny', 'Unless it is to refuse them', [ask('deny', '/1', 'rst:2'), ask('denypart', '/2', 'rst:2')], [], {
      ...stats(),
      upstream: false,
    }),
    scenario('timeout', 'A service that is slow', ask('plain', '/', 'hang'), [], { ...stats(), upstream: false }),
    scenario(
      'actions',
      'What actions make',
      [ask('actions', '/', OK, { headers: ['x-user: joe'] }), ask('actions', '/', OK)],
      [],
      stats(),
    ),
    scenario(
      'levels',
      'Limits of routes and virtual hosts',
      ['own', 'none', 'include', 'ignore', 'policy', 'flag', 'domain', 'instead', 'direct'].map(path =>
        ask('levels', `/${path}`, OK),
      ),
      [],
      stats(),
    ),
    scenario(
      'filter-limits',
      'Limits of the filter itself',
      ['own', 'none', 'include', 'domain', 'instead'].map(path =>
        ask('filter', `/${path}`, path === 'own' ? OVER : OK),
      ),
      [],
      stats('mine'),
    ),
    scenario('stage', 'Stages, and limits that have a key to disable them', ask('stage', '/', OK)),
    scenario('types', 'Internal and external requests', [
      ask('internal', '/1', OVER),
      ask('external', '/2', OVER),
      ask('external', '/3', OVER, { headers: ['x-forwarded-for: 8.8.8.8'] }),
      ask('internal', '/4', OVER, { headers: ['x-forwarded-for: 8.8.8.8'] }),
    ]),
    scenario(
      'details',
      'What the service adds',
      [
        ask('headers', '/1', DETAILED),
        ask('headers', '/2', REFUSED),
        ask('plain', '/3', DETAILED),
        ask('plain', '/4', REFUSED),
      ],
      [],
      stats(),
    ),
    scenario(
      'quiet',
      'Status and headers of a refusal',
      [ask('quiet', '/1', REFUSED), h2('/', { 'x-rl': limitWord(OVER), 'content-type': 'application/grpc' }, 'quiet')],
      [],
      stats(),
    ),
    scenario('unenforced', 'Not enforced', ask('unenforced', '/', REFUSED), [], stats()),
    scenario('off', 'Not enabled', ask('off', '/', OVER), [], stats()),
    scenario('hits', 'Hits', ask('hits', '/', OK, { headers: ['x-hits: 7'] }), [], stats()),
    scenario('done', 'Limits of what is done', ask('done', '/', OK), [], { ...stats() }),
    scenario('done-alone', 'Limits of what is done', ask('only_done', '/', OK), [], { ...stats() }),
    scenario(
      'own-hits',
      'Hits of limits of the filter',
      [ask('own_hits', '/1', OK, { headers: ['x-hits: 7'] }), ask('own_hits', '/2', OK)],
      [],
      stats(),
    ),
    scenario(
      'retry-after',
      'Retry-After',
      [ask('retry', '/1', LATER), ask('retry', '/2', { ...LATER, overall_code: 'OK' }), ask('retry', '/3', SHORT)],
      [],
      stats(),
    ),
    scenario('x-ratelimit-option', 'X-RateLimit headers by limit', [
      ask('per_limit', '/1', TWO),
      ask('per_limit_on', '/2', TWO),
      ask('per_limit', '/3', TURNED),
      ask('per_limit_on', '/4', TURNED),
      ask('per_limit', '/5', ONE),
      ask('per_limit_on', '/6', ONE),
    ]),
    scenario(
      'done-rerouted',
      'What is done counts for the route there was when the service was asked',
      [
        ask('rerouted', '/1', OK, { up: 'hdr:x-to=nowhere|ok' }),
        ask('rerouted', '/2', OK, { up: 'hdr:x-to=other|ok' }),
        ask('rerouted', '/3', OVER, { up: 'hdr:x-to=other|ok' }),
      ],
      [],
      { shuffledHeads: ['auth'] },
    ),
    scenario('inline', 'What the service adds is joined where there may be one only', [
      ask('plain', '/1', { ...OK, request_headers_to_add: ADDED }, { headers: ['user-agent: own', 'x-other: own'] }),
      ask('plain', '/2', { ...OK, request_headers_to_add: ADDED }),
      ask('plain', '/3', { ...OK, response_headers_to_add: ADDED }, { up: 'hdr:vary=own,hdr:x-other=own' }),
      ask('plain', '/4', { ...OVER, response_headers_to_add: ADDED }),
    ]),
    scenario(
      'unsendable-request',
      'A header that would split the request to the upstream',
      UNSENDABLE.map(([key, value]) => ask('plain', '/', { ...OK, request_headers_to_add: [{ key, value }] })),
      [],
      stats(),
    ),
    scenario(
      'unsendable-response',
      'A header that would split the response to the client: the real proxy sends it',
      UNSENDABLE.flatMap(([key, value]) => [
        ask('plain', '/', { ...OK, response_headers_to_add: [{ key, value }] }),
        ask('plain', '/', { ...OVER, response_headers_to_add: [{ key, value }] }),
      ]),
      [],
      stats(),
    ),
    scenario('static-limit', 'A limit of the route', ask('static_limit', '/', OK)),
    scenario('multiplier', 'Unit multiplier', ask('headers', '/', MULTIPLIED)),
    scenario('body', 'Bodies wait', ask('plain', '/', `delay:100,${limitWord(OK)}`, { method: 'POST', body: 'hello' })),
  ],
}

export default group

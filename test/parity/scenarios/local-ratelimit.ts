import { bootstrap, cluster, fileLog, httpListener, LOG_FORMAT, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, h2, type RequestOptions, raw, requestBytes, type Step, scenario, tcp } from '../scenario.ts'

/** Token buckets of requests and connections: what is let through, what is answered, what is counted. Buckets fill too slowly to matter. */
const HTTP = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'
const NETWORK = 'envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit'
const NAME = 'envoy.filters.http.local_ratelimit'
const ON = 'filter_enabled: {default_value: {numerator: 100}}\nfilter_enforced: {default_value: {numerator: 100}}'
const bucket = (tokens: number, perFill = 1): string =>
  `{max_tokens: ${tokens}, tokens_per_fill: ${perFill}, fill_interval: 7200s}`
const EMPTY = '{max_tokens: 1, fill_interval: 7200s}'
const LOG = `access_log: [${JSON.stringify(fileLog(LOG_FORMAT))}]`
const override = (body: string): string => `{${NAME}: {"@type": type.googleapis.com/${HTTP}, ${body}}}`
const PLAIN = '[{match: {prefix: /}, route: {cluster: a}}]'

const http = (name: string, body: string, more: { routes?: string; vhost?: string; routeConfig?: string } = {}) =>
  httpListener(name, {
    routes: more.routes ?? PLAIN,
    hcm: LOG,
    ...(more.vhost === undefined ? {} : { vhost: more.vhost }),
    ...(more.routeConfig === undefined ? {} : { routeConfig: more.routeConfig }),
    filters: [typed(NAME, HTTP, `stat_prefix: ${name}\n${body}`)],
  })
const network = (name: string, body: string) =>
  tcpListener(name, 'cluster: t', '', [
    typed('envoy.filters.network.local_ratelimit', NETWORK, `stat_prefix: ${name}\n${body}`),
  ])
const ask = (listener: string, path = '/', options: RequestOptions = {}): Step => get(path, { listener, ...options })
const stats = (name: string) => ({ stats: [`^${name}\\.http_local_rate_limit`] })

const descriptors = (...of: readonly (readonly [entries: string, bucket: string, more?: string])[]): string =>
  `descriptors: [${of.map(([entries, tokens, more = '']) => `{entries: [${entries}], token_bucket: ${tokens}${more}}`).join(', ')}]`
const header = (name: string, key: string, more = ''): string =>
  `{request_headers: {header_name: ${name}, descriptor_key: ${key}${more}}}`
const ACTIONS: readonly (readonly [path: string, action: string, entry: string])[] = [
  ['source', '{source_cluster: {}}', '{key: source_cluster, value: parity-cluster}'],
  ['destination', '{destination_cluster: {}}', '{key: destination_cluster, value: a}'],
  ['address', '{remote_address: {}}', '{key: remote_address, value: 127.0.0.1}'],
  ['masked', '{masked_remote_address: {v4_prefix_mask_len: 8}}', '{key: masked_remote_address, value: 127.0.0.0/8}'],
  ['generic', '{generic_key: {descriptor_value: one}}', '{key: generic_key, value: one}'],
  ['generic-key', '{generic_key: {descriptor_value: two, descriptor_key: k}}', '{key: k, value: two}'],
  [
    'match',
    '{header_value_match: {descriptor_value: m, headers: [{name: x-m, present_match: true}]}}',
    '{key: header_match, value: m}',
  ],
  [
    'no-match',
    '{header_value_match: {descriptor_value: m, expect_match: false, headers: [{name: x-m, present_match: true}]}}',
    '{key: header_match, value: m}',
  ],
  [
    'query',
    '{query_parameter_value_match: {descriptor_value: q, query_parameters: [{name: q, string_match: {exact: "1"}}]}}',
    '{key: query_match, value: q}',
  ],
  ['query-value', '{query_parameters: {query_parameter_name: v, descriptor_key: qv}}', '{key: qv, value: "a b"}'],
  [
    'near',
    '{remote_address_match: {descriptor_value: near, address_matcher: {ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}}}',
    '{key: remote_address_match, value: near}',
  ],
  [
    'far',
    '{remote_address_match: {descriptor_value: far, descriptor_key: k, address_matcher: {invert_match: true, ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}}}',
    '{key: k, value: far}',
  ],
  [
    'metadata',
    '{metadata: {descriptor_key: md, source: ROUTE_ENTRY, metadata_key: {key: app, path: [{key: tier}]}}}',
    '{key: md, value: gold}',
  ],
  [
    'default',
    '{metadata: {descriptor_key: md, default_value: lead, metadata_key: {key: app, path: [{key: tier}]}}}',
    '{key: md, value: lead}',
  ],
  ['literal', '{generic_key: {descriptor_value: "v-%REQ(x-f)%"}}', '{key: generic_key, value: "v-%REQ(x-f)%"}'],
]

const group: Group = {
  name: 'local-ratelimit',
  upstreams: { a: { kind: 'http1' }, t: { kind: 'tcp' } },
  config: bootstrap(
    [
      http(
        'full',
        `
token_bucket: ${bucket(2)}
${ON}
status: {code: 503}
response_headers_to_add:
- header: {key: x-limited, value: "by %RESPONSE_CODE% %REQ(:path)%"}
enable_x_ratelimit_headers: DRAFT_VERSION_03
`,
      ),
      http('plain', `token_bucket: ${bucket(1)}\n${ON}\nstatus: {code: 200}`),
      http('grpc', `token_bucket: ${EMPTY}\n${ON}`),
      http('exhausted', `token_bucket: ${EMPTY}\n${ON}\nrate_limited_as_resource_exhausted: true`),
      http('off', `token_bucket: ${bucket(1)}`),
      http(
        'shadow',
        `
token_bucket: ${bucket(1)}
filter_enabled: {default_value: {numerator: 100}}
request_headers_to_add_when_not_enforced:
- header: {key: x-over, value: "yes %REQ(:path)%"}
- {header: {key: x-mine, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
`,
      ),
      http('none', ON, {
        routes: `
- match: {path: /own}
  route: {cluster: a}
  typed_per_filter_config: ${override(`stat_prefix: own, token_bucket: ${bucket(1)}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}`)}
- match: {path: /off}
  route: {cluster: a}
  typed_per_filter_config: ${override(`stat_prefix: off, token_bucket: ${bucket(1)}`)}
- match: {path: /reply}
  direct_response: {status: 201}
  typed_per_filter_config: ${override(`stat_prefix: reply, token_bucket: ${bucket(1)}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}`)}
- match: {prefix: /}
  route: {cluster: a}
`,
        vhost: `typed_per_filter_config: ${override(`stat_prefix: vhost, token_bucket: ${bucket(1)}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}`)}`,
      }),
      http(
        'bydesc',
        `
token_bucket: ${bucket(100)}
${ON}
enable_x_ratelimit_headers: DRAFT_VERSION_03
${descriptors(
  ['{key: user, value: joe}, {key: path, value: /d}', bucket(1)],
  ['{key: user, value: joe}', bucket(2)],
  ['{key: user, value: ann}', bucket(5)],
)}
`,
        {
          routes: `
- match: {path: /two}
  route: {cluster: a, rate_limits: [{actions: [${header('x-user', 'user')}]}, {actions: [${header('x-user', 'user')}, ${header(':path', 'path', ', skip_if_absent: true')}]}]}
- match: {path: /d}
  route: {cluster: a, rate_limits: [{actions: [${header('x-user', 'user')}, ${header(':path', 'path')}]}]}
- match: {path: /stage}
  route: {cluster: a, rate_limits: [{stage: 1, actions: [${header('x-user', 'user')}]}]}
- match: {path: /disabled}
  route: {cluster: a, rate_limits: [{disable_key: off, actions: [${header('x-user', 'user')}]}]}
- match: {path: /skip}
  route: {cluster: a, rate_limits: [{actions: [${header('x-user', 'user')}, ${header('x-absent', 'gone', ', skip_if_absent: true')}]}]}
- match: {path: /absent}
  route: {cluster: a, rate_limits: [{actions: [${header('x-user', 'user')}, ${header('x-absent', 'gone')}]}]}
- match: {prefix: /}
  route: {cluster: a}
`,
          vhost: `rate_limits: [{actions: [{generic_key: {descriptor_key: user, descriptor_value: ann}}]}]`,
        },
      ),
      ...(['OVERRIDE', 'INCLUDE', 'IGNORE'] as const).map(option =>
        http(
          `vh${option.toLowerCase()}`,
          `
token_bucket: ${bucket(100)}
${ON}
vh_rate_limits: ${option}
enable_x_ratelimit_headers: DRAFT_VERSION_03
${descriptors(['{key: generic_key, value: vh}', bucket(1)], ['{key: generic_key, value: route}', bucket(3)])}
`,
          {
            routes: `
- match: {path: /route}
  route: {cluster: a, rate_limits: [{actions: [{generic_key: {descriptor_value: route}}]}]}
- match: {path: /include}
  route: {cluster: a, include_vh_rate_limits: true, rate_limits: [{actions: [{generic_key: {descriptor_value: route}}]}]}
- match: {prefix: /}
  route: {cluster: a}
`,
            vhost: `rate_limits: [{actions: [{generic_key: {descriptor_value: vh}}]}]`,
          },
        ),
      ),
      http(
        'actions',
        `
token_bucket: ${bucket(1000)}
${ON}
always_consume_default_token_bucket: false
enable_x_ratelimit_headers: DRAFT_VERSION_03
${descriptors(...[...new Set(ACTIONS.map(([, , entry]) => entry))].map(entry => [entry, bucket(50)] as const))}
`,
        {
          routes: `\n${ACTIONS.map(
            ([path, action]) => `
- match: {path: /${path}}
  route: {cluster: a, rate_limits: [{actions: [${action}]}]}
  metadata: {filter_metadata: {app: {tier: gold}}}
`,
          ).join('')}`,
        },
      ),
      http(
        'inline',
        `
token_bucket: ${bucket(5)}
${ON}
always_consume_default_token_bucket: false
enable_x_ratelimit_headers: DRAFT_VERSION_03
rate_limits:
- actions: [${header('x-user', 'user')}]
- actions: [${header('x-heavy', 'heavy')}]
  hits_addend: {number: 3}
- actions: [${header('x-counted', 'counted')}]
  hits_addend: {format: "%REQ(x-counted)%"}
- actions: [${header('x-quiet', 'quiet')}]
  x_ratelimit_option: "OFF"
- actions: [${header('x-take', 'back')}]
  hits_addend: {number: 3}
- actions: [${header('x-back', 'back')}]
  hits_addend: {number: 2, is_negative_hits: true}
${descriptors(
  ['{key: user, value: joe}', bucket(1)],
  ['{key: heavy, value: "1"}', bucket(7)],
  ['{key: counted, value: "4"}', bucket(9)],
  ['{key: quiet, value: "1"}', bucket(1)],
  ['{key: back, value: "1"}', bucket(4)],
)}
`,
        {
          routes: `
- match: {prefix: /}
  route: {cluster: a, rate_limits: [{actions: [{generic_key: {descriptor_value: never}}]}]}
`,
        },
      ),
      http(
        'dynamic',
        `
token_bucket: ${bucket(100)}
${ON}
max_dynamic_descriptors: 2
always_consume_default_token_bucket: false
enable_x_ratelimit_headers: DRAFT_VERSION_03
rate_limits: [{actions: [${header('x-user', 'user')}, {generic_key: {descriptor_value: g}}]}]
${descriptors(
  ['{key: user}, {key: generic_key, value: g}', bucket(1)],
  ['{key: user, value: vip}, {key: generic_key, value: g}', bucket(3)],
)}
`,
      ),
      http(
        'shadowed',
        `
token_bucket: ${bucket(3)}
${ON}
enable_x_ratelimit_headers: DRAFT_VERSION_03
request_headers_to_add_when_not_enforced: [{header: {key: x-over, value: "yes"}}]
enable_retry_after_header: true
rate_limits: [{actions: [${header('x-user', 'user')}]}]
${descriptors(['{key: user, value: joe}', bucket(1), ', shadow_mode: true'])}
`,
      ),
      http(
        'later',
        `token_bucket: ${bucket(1)}\n${ON}\nenable_retry_after_header: true\nresponse_headers_to_add: [{header: {key: x-more, value: m}}]`,
      ),
      http(
        'zero',
        `token_bucket: {max_tokens: 0, fill_interval: 1s}\n${ON}\nenable_x_ratelimit_headers: DRAFT_VERSION_03\nenable_retry_after_header: true`,
      ),
      http(
        'conn',
        `
token_bucket: ${bucket(2)}
${ON}
local_rate_limit_per_downstream_connection: true
enable_x_ratelimit_headers: DRAFT_VERSION_03
`,
      ),
      http('fills', `token_bucket: {max_tokens: 2, tokens_per_fill: 2, fill_interval: 0.2s}\n${ON}`),
      network('tcp', `token_bucket: ${bucket(1)}`),
      network('tcpoff', `token_bucket: ${bucket(1)}\nruntime_enabled: {default_value: false, runtime_key: x}`),
      network('shared1', `token_bucket: ${bucket(2)}\nshare_key: both`),
      network('shared2', `token_bucket: ${bucket(2)}\nshare_key: both`),
      network('shared3', `token_bucket: ${bucket(1)}\nshare_key: both`),
    ],
    [cluster('a', 'a'), cluster('t', 't')],
  ),
  scenarios: [
    scenario(
      'answered',
      'Above the limit: status, body, headers, flag, details; what is left is in x-ratelimit headers',
      [ask('full', '/1'), ask('full', '/2'), ask('full', '/3'), ask('full', '/4', { method: 'HEAD' })],
      [],
      stats('full'),
    ),
    scenario(
      'status-below-400',
      'A status that is no error stands for 429',
      [ask('plain'), ask('plain')],
      [],
      stats('plain'),
    ),
    scenario('grpc', 'gRPC is told UNAVAILABLE, or RESOURCE_EXHAUSTED when asked for', [
      h2('/s/m', { 'content-type': 'application/grpc', ':method': 'POST' }, 'grpc'),
      h2('/s/m', { 'content-type': 'application/grpc', ':method': 'POST' }, 'grpc'),
      h2('/s/m', { 'content-type': 'application/grpc', ':method': 'POST' }, 'exhausted'),
      h2('/s/m', { 'content-type': 'application/grpc', ':method': 'POST' }, 'exhausted'),
      ask('exhausted'),
    ]),
    scenario(
      'not-enabled',
      'Without filter_enabled nothing is limited or counted',
      [ask('off'), ask('off')],
      [],
      stats('off'),
    ),
    scenario(
      'not-enforced',
      'Without filter_enforced requests go on, and carry what was configured for that',
      [ask('shadow', '/1'), ask('shadow', '/2', { headers: ['x-mine: old', 'x-over: 0'] })],
      [],
      stats('shadow'),
    ),
    scenario(
      'per-route',
      'A route or virtual host has its own bucket, and its own stats; so has a direct response',
      [
        ask('none', '/own'),
        ask('none', '/own'),
        ask('none', '/off'),
        ask('none', '/off'),
        ask('none', '/reply'),
        ask('none', '/reply'),
        ask('none', '/else'),
        ask('none', '/else'),
      ],
      [],
      { stats: ['^(none|own|off|reply|vhost)\\.http_local_rate_limit'] },
    ),
    scenario(
      'descriptors',
      'Each descriptor has its bucket; the strictest that matches decides; the default bucket pays too',
      [
        ask('bydesc', '/two', { headers: ['x-user: joe'] }),
        ask('bydesc', '/two', { headers: ['x-user: joe'] }),
        ask('bydesc', '/two', { headers: ['x-user: joe'] }),
        ask('bydesc', '/two', { headers: ['x-user: bob'] }),
        ask('bydesc', '/d', { headers: ['x-user: joe'] }),
        ask('bydesc', '/d', { headers: ['x-user: joe'] }),
        ask('bydesc', '/stage', { headers: ['x-user: joe'] }),
        ask('bydesc', '/disabled', { headers: ['x-user: joe'] }),
        ask('bydesc', '/skip', { headers: ['x-user: ann'] }),
        ask('bydesc', '/absent', { headers: ['x-user: ann'] }),
        ask('bydesc', '/other'),
      ],
      [],
      stats('bydesc'),
    ),
    scenario(
      'virtual-host-limits',
      'vh_rate_limits: those of the virtual host count when the route has none, always, or never',
      ['vhoverride', 'vhinclude', 'vhignore'].flatMap(listener => [
        ask(listener, '/route'),
        ask(listener, '/include'),
        ask(listener, '/none'),
        ask(listener, '/none'),
      ]),
    ),
    scenario('actions', 'What the actions of a route make of a request', [
      ...ACTIONS.map(([path]) => ask('actions', `/${path}`)),
      ask('actions', '/match', { headers: ['x-m: 1'] }),
      ask('actions', '/no-match', { headers: ['x-m: 1'] }),
      ask('actions', '/query?q=1'),
      ask('actions', '/query?q=2'),
      ask('actions', '/query-value?v=a%20b'),
      ask('actions', '/query-value?v=c'),
      ask('actions', '/literal', { headers: ['x-f: 1'] }),
    ]),
    scenario(
      'own-actions',
      'rate_limits of the filter replace those of routes; hits_addend and x_ratelimit_option of each',
      [
        ask('inline', '/', { headers: ['x-user: joe'] }),
        ask('inline', '/', { headers: ['x-user: joe'] }),
        ask('inline', '/', { headers: ['x-heavy: 1'] }),
        ask('inline', '/', { headers: ['x-heavy: 1'] }),
        ask('inline', '/', { headers: ['x-heavy: 1'] }),
        ask('inline', '/', { headers: ['x-counted: 4'] }),
        ask('inline', '/', { headers: ['x-counted: 4'] }),
        ask('inline', '/', { headers: ['x-counted: 4'] }),
        ask('inline', '/', { headers: ['x-counted: no'] }),
        ask('inline', '/', { headers: ['x-quiet: 1'] }),
        ask('inline', '/', { headers: ['x-quiet: 1'] }),
        ask('inline', '/', { headers: ['x-take: 1'] }),
        ask('inline', '/', { headers: ['x-back: 1'] }),
        ask('inline', '/', { headers: ['x-back: 1'] }),
        ask('inline'),
      ],
      [],
      stats('inline'),
    ),
    scenario(
      'any-value',
      'An entry without a value stands for every value, each with its own bucket; the least recently used is forgotten',
      [
        ask('dynamic', '/', { headers: ['x-user: a'] }),
        ask('dynamic', '/', { headers: ['x-user: a'] }),
        ask('dynamic', '/', { headers: ['x-user: vip'] }),
        ask('dynamic', '/', { headers: ['x-user: b'] }),
        ask('dynamic', '/', { headers: ['x-user: b'] }),
        ask('dynamic', '/', { headers: ['x-user: c'] }),
        ask('dynamic', '/', { headers: ['x-user: a'] }),
        ask('dynamic', '/'),
      ],
      [],
      stats('dynamic'),
    ),
    scenario(
      'shadow-mode',
      'A descriptor in shadow mode limits nothing',
      [
        ask('shadowed', '/', { headers: ['x-user: joe'] }),
        ask('shadowed', '/', { headers: ['x-user: joe'] }),
        ask('shadowed', '/', { headers: ['x-user: joe'] }),
        ask('shadowed', '/', { headers: ['x-user: joe'] }),
      ],
      [],
      stats('shadowed'),
    ),
    scenario(
      'per-connection',
      'Each connection has a bucket of its own',
      [
        raw([requestBytes('/1'), { wait: 50 }, requestBytes('/2'), { wait: 50 }, requestBytes('/3')], {
          listener: 'conn',
          responses: 3,
        }),
        ask('conn', '/4'),
      ],
      [],
      stats('conn'),
    ),
    scenario('no-tokens', 'A bucket for no token lets nothing pass', [ask('zero'), ask('zero')], [], stats('zero')),
    scenario('retry-after', 'enable_retry_after_header', [ask('later'), ask('later')], [], stats('later')),
    scenario(
      'filled',
      'A bucket fills again with time',
      [ask('fills'), ask('fills'), ask('fills'), { kind: 'wait', ms: 300 }, ask('fills'), ask('fills'), ask('fills')],
      [],
      stats('fills'),
    ),
    scenario(
      'tcp',
      'Connections above the limit are closed',
      [tcp('tcp', ['hi', { wait: 50 }, { end: true }]), tcp('tcp', [{ closed: true }])],
      [],
      { stats: ['^local_rate_limit\\.tcp\\.'], logLines: 2 },
    ),
    scenario(
      'tcp-disabled',
      'runtime_enabled false',
      [tcp('tcpoff', ['hi', { wait: 50 }, { end: true }]), tcp('tcpoff', ['hi', { wait: 50 }, { end: true }])],
      [],
      { stats: ['^local_rate_limit\\.tcpoff\\.'], logLines: 2 },
    ),
    scenario(
      'tcp-shared',
      'Filters of one share_key and equal buckets have one bucket',
      [
        tcp('shared1', ['hi', { wait: 50 }, { end: true }]),
        tcp('shared2', ['hi', { wait: 50 }, { end: true }]),
        tcp('shared1', [{ closed: true }]),
        tcp('shared3', ['hi', { wait: 50 }, { end: true }]),
      ],
      [],
      { stats: ['^local_rate_limit\\.shared.\\.'], logLines: 4 },
    ),
  ],
}

export default group

import { bootstrap, cluster, H2_UPSTREAM, httpListener, typed } from '../configs/builder.ts'
import { type Group, get, grpc, scenario } from '../scenario.ts'

/** HTTP filters that answer by themselves or change what passes. */
const EXT = 'envoy.extensions.filters.http'
const per = (filter: string, message: string, body: string) =>
  `typed_per_filter_config: {${filter}: {"@type": type.googleapis.com/${EXT}.${message}, ${body}}}`
const fault = (body: string) => per('envoy.filters.http.fault', 'fault.v3.HTTPFault', body)
const ALWAYS = 'percentage: {numerator: 100}'
const rbac = (body: string) => per('envoy.filters.http.rbac', 'rbac.v3.RBACPerRoute', `rbac: {rules: ${body}}`)
const limit = (body: string) => per('envoy.filters.http.local_ratelimit', 'local_ratelimit.v3.LocalRateLimit', body)
const ENFORCED = 'filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}'
const BUCKET = 'token_bucket: {max_tokens: 1, tokens_per_fill: 1, fill_interval: 3600s}'
/** Routes by listener: a proxy without one of the filters still shows what it does with the others. */
const ROUTES = {
  main: `
- {match: {path: /fab}, route: {cluster: a}, ${fault(`abort: {http_status: 418, ${ALWAYS}}`)}}
- {match: {path: /fdel}, route: {cluster: a}, ${fault(`delay: {fixed_delay: 0.1s, ${ALWAYS}}`)}}
- {match: {path: /fboth}, route: {cluster: a}, ${fault(`delay: {fixed_delay: 0.05s, ${ALWAYS}}, abort: {http_status: 503, ${ALWAYS}}`)}}
- {match: {path: /fgrpc}, route: {cluster: a}, ${fault(`abort: {grpc_status: 14, ${ALWAYS}}`)}}
- {match: {path: /fmax}, route: {cluster: a}, ${fault(`abort: {http_status: 418, ${ALWAYS}}, max_active_faults: 0`)}}
- {match: {path: /fzero}, route: {cluster: a}, ${fault('abort: {http_status: 418, percentage: {numerator: 0}}')}}
- {match: {prefix: /fhdr}, route: {cluster: a}, ${fault(`abort: {header_abort: {}, ${ALWAYS}}, delay: {header_delay: {}, ${ALWAYS}}, response_rate_limit: {header_limit: {}, ${ALWAYS}}`)}}
- {match: {path: /fmatch}, route: {cluster: a}, ${fault(`abort: {http_status: 418, ${ALWAYS}}, headers: [{name: x-fault, present_match: true}]`)}}
- {match: {path: /fup}, route: {cluster: a}, ${fault(`abort: {http_status: 418, ${ALWAYS}}, upstream_cluster: b`)}}
- {match: {path: /fnodes}, route: {cluster: a}, ${fault(`abort: {http_status: 418, ${ALWAYS}}, downstream_nodes: [one]`)}}
- {match: {prefix: /cors}, route: {cluster: a}, ${per('envoy.filters.http.cors', 'cors.v3.CorsPolicy', 'allow_origin_string_match: [{exact: "http://ok.test"}, {suffix: ".ok.test"}], allow_methods: "GET, PUT", allow_headers: x-a, expose_headers: x-e, max_age: "60", allow_credentials: true')}}
- {match: {prefix: /}, route: {cluster: a}}
`,
  rbac: `
- {match: {prefix: /rbac-none}, route: {cluster: a}, ${rbac('{action: ALLOW, policies: {}}')}}
- {match: {prefix: /rbac-deny}, route: {cluster: a}, ${rbac('{action: DENY, policies: {"my pol": {permissions: [{any: true}], principals: [{any: true}]}}}')}}
- {match: {prefix: /rbac-allow}, route: {cluster: a}, ${rbac('{action: ALLOW, policies: {p: {permissions: [{header: {name: x-ok, string_match: {exact: "1"}}}, {url_path: {path: {exact: /rbac-allow/open}}}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}]}}}')}}
- {match: {prefix: /rbac-not}, route: {cluster: a}, ${rbac('{action: DENY, policies: {p: {permissions: [{not_rule: {header: {name: ":method", string_match: {exact: GET}}}}], principals: [{any: true}]}}}')}}
- {match: {prefix: /}, route: {cluster: a}}
`,
  limits: `
- {match: {prefix: /rl1}, route: {cluster: a}, ${limit(`stat_prefix: rl1, ${BUCKET}, ${ENFORCED}, response_headers_to_add: [{header: {key: x-local-rate-limit, value: "true"}}], enable_x_ratelimit_headers: DRAFT_VERSION_03`)}}
- {match: {prefix: /rl2}, route: {cluster: a}, ${limit(`stat_prefix: rl2, ${BUCKET}, ${ENFORCED}, status: {code: ServiceUnavailable}, rate_limited_as_resource_exhausted: true`)}}
- {match: {prefix: /rl3}, route: {cluster: a}, ${limit(`stat_prefix: rl3, ${BUCKET}, ${ENFORCED}`)}}
- {match: {prefix: /rl4}, route: {cluster: a}, ${limit(`stat_prefix: rl4, ${BUCKET}, ${ENFORCED}, rate_limited_as_resource_exhausted: true`)}}
- {match: {prefix: /rl5}, route: {cluster: a}, ${limit(`stat_prefix: rl5, ${BUCKET}, filter_enabled: {default_value: {numerator: 100}}`)}}
- {match: {prefix: /}, route: {cluster: a}}
`,
  csrf: `
- {match: {prefix: /csrf}, route: {cluster: a}, ${per('envoy.filters.http.csrf', 'csrf.v3.CsrfPolicy', 'filter_enabled: {default_value: {numerator: 100}}, additional_origins: [{exact: ok.test}]')}}
- {match: {prefix: /}, route: {cluster: a}}
`,
  body: `
- {match: {path: /buf}, route: {cluster: a}, ${per('envoy.filters.http.buffer', 'buffer.v3.BufferPerRoute', 'buffer: {max_request_bytes: 10}')}}
- {match: {path: /hm}, route: {cluster: a}, ${per('envoy.filters.http.header_mutation', 'header_mutation.v3.HeaderMutationPerRoute', 'mutations: {request_mutations: [{append: {header: {key: x-m, value: "%REQ(:path)%"}}}, {remove: x-gone}], response_mutations: [{append: {header: {key: x-r, value: "%RESPONSE_CODE%"}}}]}')}}
- {match: {prefix: /}, route: {cluster: a}}
`,
}
const JWKS = '{"keys":[{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I","alg":"HS256","kid":"k"}]}'

/** The HTTP authorisation request is built from a hash map. */
const SHUFFLED = { shuffledHeads: ['authz'] }

const group: Group = {
  name: 'filters',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' }, authz: { kind: 'http1' } },
  config: bootstrap(
    [
      httpListener('main', {
        routes: ROUTES.main,
        filters: [
          typed('envoy.filters.http.fault', `${EXT}.fault.v3.HTTPFault`),
          typed('envoy.filters.http.cors', `${EXT}.cors.v3.Cors`),
        ],
      }),
      httpListener('csrf', {
        routes: ROUTES.csrf,
        filters: [
          typed(
            'envoy.filters.http.csrf',
            `${EXT}.csrf.v3.CsrfPolicy`,
            'filter_enabled: {default_value: {numerator: 0}}',
          ),
        ],
      }),
      httpListener('limits', {
        routes: ROUTES.limits,
        filters: [
          typed(
            'envoy.filters.http.local_ratelimit',
            `${EXT}.local_ratelimit.v3.LocalRateLimit`,
            'stat_prefix: http_rl',
          ),
        ],
      }),
      httpListener('rbac', {
        routes: ROUTES.rbac,
        filters: [typed('envoy.filters.http.rbac', `${EXT}.rbac.v3.RBAC`)],
      }),
      httpListener('body', {
        routes: ROUTES.body,
        filters: [
          typed('envoy.filters.http.buffer', `${EXT}.buffer.v3.Buffer`, 'max_request_bytes: 1000000'),
          typed('envoy.filters.http.header_mutation', `${EXT}.header_mutation.v3.HeaderMutation`),
        ],
      }),
      httpListener('jwt', {
        routes: `
- {match: {prefix: /jwt}, route: {cluster: a}}
`,
        filters: [
          typed(
            'envoy.filters.http.jwt_authn',
            `${EXT}.jwt_authn.v3.JwtAuthentication`,
            `
providers:
  p: {issuer: lab, audiences: [aud], local_jwks: {inline_string: '${JWKS}'}, forward: true}
rules:
- {match: {prefix: /jwt}, requires: {provider_name: p}}
`,
          ),
        ],
      }),
      httpListener('azgrpc', {
        routes: `
- {match: {prefix: /authz}, route: {cluster: a}, ${per('envoy.filters.http.ext_authz', 'ext_authz.v3.ExtAuthzPerRoute', 'check_settings: {}')}}
`,
        filters: [
          typed(
            'envoy.filters.http.ext_authz',
            `${EXT}.ext_authz.v3.ExtAuthz`,
            'grpc_service: {envoy_grpc: {cluster_name: dead_grpc}, timeout: 0.2s}\nstat_prefix: az',
          ),
        ],
      }),
      httpListener('lua', {
        routes: `
- {match: {path: /lua}, route: {cluster: a}, ${per('envoy.filters.http.lua', 'lua.v3.LuaPerRoute', 'name: respond')}}
- {match: {path: /luaerr}, route: {cluster: a}, ${per('envoy.filters.http.lua', 'lua.v3.LuaPerRoute', 'name: broken')}}
`,
        filters: [
          typed(
            'envoy.filters.http.lua',
            `${EXT}.lua.v3.Lua`,
            `
source_codes:
  respond: {inline_string: "function envoy_on_request(h) h:respond({[':status']='403', ['x-lua']='1'}, 'lua says no') end"}
  broken: {inline_string: "function envoy_on_request(h) local x = nil; x.y() end"}
`,
          ),
        ],
      }),
      httpListener('authzhttp', {
        routes: '[{match: {prefix: /}, route: {cluster: a}}]',
        filters: [
          typed(
            'envoy.filters.http.ext_authz',
            `${EXT}.ext_authz.v3.ExtAuthz`,
            `
http_service:
  server_uri: {uri: "http://authz.test", cluster: authz, timeout: 0.2s}
  path_prefix: /check
  authorization_request: {allowed_headers: {patterns: [{prefix: x-}]}}
  authorization_response: {allowed_upstream_headers: {patterns: [{exact: x-user}]}, allowed_client_headers: {patterns: [{exact: x-reason}]}}
`,
          ),
        ],
      }),
      httpListener('open', {
        routes: '[{match: {prefix: /}, route: {cluster: a}}]',
        filters: [
          typed(
            'envoy.filters.http.ext_authz',
            `${EXT}.ext_authz.v3.ExtAuthz`,
            'grpc_service: {envoy_grpc: {cluster_name: dead_grpc}, timeout: 0.2s}\nfailure_mode_allow: true\nfailure_mode_allow_header_add: true',
          ),
        ],
      }),
      httpListener('health', {
        routes: '[{match: {prefix: /}, route: {cluster: a}}]',
        filters: [
          typed(
            'envoy.filters.http.health_check',
            `${EXT}.health_check.v3.HealthCheck`,
            'pass_through_mode: false\nheaders: [{name: ":path", string_match: {exact: /healthz}}]',
          ),
        ],
      }),
      httpListener('shadow', {
        routes: '[{match: {prefix: /}, route: {cluster: a}}]',
        filters: [
          typed(
            'envoy.filters.http.rbac',
            `${EXT}.rbac.v3.RBAC`,
            `
shadow_rules: {action: DENY, policies: {s: {permissions: [{any: true}], principals: [{any: true}]}}}
shadow_rules_stat_prefix: sh_
rules: {action: ALLOW, policies: {r: {permissions: [{any: true}], principals: [{header: {name: x-ok, present_match: true}}]}}}
`,
          ),
        ],
      }),
      httpListener('grpcweb', {
        routes: '[{match: {prefix: /}, route: {cluster: h2}}]',
        filters: [
          typed('envoy.filters.http.grpc_web', `${EXT}.grpc_web.v3.GrpcWeb`),
          typed(
            'envoy.filters.http.grpc_stats',
            `${EXT}.grpc_stats.v3.FilterConfig`,
            'emit_filter_state: true\nstats_for_all_methods: true',
          ),
        ],
      }),
      httpListener('compress', {
        routes: '[{match: {prefix: /}, route: {cluster: a}}]',
        filters: [
          typed(
            'envoy.filters.http.compressor',
            `${EXT}.compressor.v3.Compressor`,
            'compressor_library: {name: g, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip}}',
          ),
        ],
      }),
    ],
    [
      cluster('a', 'a'),
      cluster('b', 'b'),
      cluster('authz', 'authz'),
      cluster('dead_grpc', 'nobody', H2_UPSTREAM),
      cluster('h2', 'h2', H2_UPSTREAM),
    ],
  ),
  scenarios: [
    scenario('fault-abort', 'An abort by status', [get('/fab'), get('/fab', { method: 'HEAD' })], ['fault abort 418']),
    scenario('fault-abort-grpc-client', 'An abort to a gRPC client', grpc('/fab'), ['grpc fault 418']),
    scenario('fault-delay', 'A delay', get('/fdel'), ['fault delay']),
    scenario('fault-both', 'A delay, then an abort', get('/fboth'), ['fault delay+abort']),
    scenario('fault-grpc', 'A gRPC abort to a plain client', get('/fgrpc'), ['fault abort grpc 14 on http request']),
    scenario('fault-grpc-grpc', 'A gRPC abort to a gRPC client', grpc('/fgrpc'), ['grpc fault grpc 14']),
    scenario('fault-max-active', 'max_active_faults: 0', get('/fmax'), ['fault max_active_faults=0']),
    scenario('fault-zero', 'A percentage of 0', get('/fzero')),
    scenario(
      'fault-header-abort',
      'x-envoy-fault-abort-request',
      get('/fhdr', { headers: ['x-envoy-fault-abort-request: 503'] }),
      ['fault header abort 503'],
    ),
    scenario(
      'fault-header-delay',
      'x-envoy-fault-delay-request',
      get('/fhdr', { headers: ['x-envoy-fault-delay-request: 100'] }),
      ['fault header delay 150'],
    ),
    scenario(
      'fault-header-grpc',
      'x-envoy-fault-abort-grpc-request',
      get('/fhdr', { headers: ['x-envoy-fault-abort-grpc-request: 5'] }),
      ['fault header grpc abort 5'],
    ),
    scenario('fault-header-none', 'No fault header', get('/fhdr'), ['fault header none']),
    scenario(
      'fault-header-percentage',
      'A percentage header of 0',
      get('/fhdr', { headers: ['x-envoy-fault-abort-request: 503', 'x-envoy-fault-abort-request-percentage: 0'] }),
    ),
    scenario(
      'fault-header-bad',
      'A fault header that is no status',
      get('/fhdr', { headers: ['x-envoy-fault-abort-request: abc'] }),
    ),
    scenario(
      'fault-header-throughput',
      'x-envoy-fault-throughput-response',
      get('/fhdr/x', { up: 'body:500', headers: ['x-envoy-fault-throughput-response: 10'] }),
      ['fault header throughput'],
    ),
    scenario('fault-header-match', 'Faults only with matching headers', [
      get('/fmatch'),
      get('/fmatch', { headers: ['x-fault: 1'] }),
    ]),
    scenario('fault-upstream-cluster', 'Faults only for one cluster', get('/fup')),
    scenario('fault-downstream-nodes', 'Faults only for one caller', [
      get('/fnodes'),
      get('/fnodes', { headers: ['x-envoy-downstream-service-node: one'] }),
    ]),
    scenario('fault-stats', 'Counters of the fault filter', [get('/fab'), get('/fdel'), get('/fmax')], [], {
      stats: ['^http\\.main\\.fault\\.'],
    }),
    scenario('rbac-none', 'ALLOW without a policy', get('/rbac-none', { listener: 'rbac' }), ['rbac allow-none']),
    scenario('rbac-none-grpc', 'The same to a gRPC client', grpc('/rbac-none', {}, 'rbac'), ['grpc rbac']),
    scenario('rbac-deny', 'DENY by a policy', get('/rbac-deny', { listener: 'rbac' }), ['rbac deny policy']),
    scenario('rbac-allow', 'ALLOW by header or path', [
      get('/rbac-allow/x', { listener: 'rbac' }),
      get('/rbac-allow/x', { listener: 'rbac', headers: ['x-ok: 1'] }),
      get('/rbac-allow/open?q', { listener: 'rbac' }),
      get('/rbac-allow/OPEN', { listener: 'rbac' }),
    ]),
    scenario('rbac-not', 'A negated rule', [
      get('/rbac-not', { listener: 'rbac' }),
      get('/rbac-not', { listener: 'rbac', method: 'POST', body: 'x' }),
    ]),
    scenario(
      'rbac-shadow',
      'Shadow rules only count',
      [get('/x', { listener: 'shadow', headers: ['x-ok: 1'] }), get('/x', { listener: 'shadow' })],
      [],
      { stats: ['^http\\.shadow\\.rbac\\.'] },
    ),
    scenario(
      'rate-limit',
      'A bucket of one with rate limit headers',
      [get('/rl1', { listener: 'limits' }), get('/rl1', { listener: 'limits' })],
      ['local ratelimit 1st', 'local ratelimit 2nd'],
    ),
    scenario(
      'rate-limit-status',
      'A status of its own',
      [get('/rl2', { listener: 'limits' }), get('/rl2', { listener: 'limits' })],
      ['local ratelimit custom 1st', 'local ratelimit custom 503'],
    ),
    scenario(
      'rate-limit-grpc',
      'To a gRPC client',
      [grpc('/rl3', {}, 'limits'), grpc('/rl3', {}, 'limits')],
      ['grpc RL'],
    ),
    scenario(
      'rate-limit-exhausted',
      'rate_limited_as_resource_exhausted',
      [grpc('/rl4', {}, 'limits'), grpc('/rl4', {}, 'limits')],
      ['grpc RL resource exhausted'],
    ),
    scenario(
      'rate-limit-not-enforced',
      'Enabled but not enforced',
      [get('/rl5', { listener: 'limits' }), get('/rl5', { listener: 'limits' })],
      [],
      {
        stats: ['^rl5\\.'],
      },
    ),
    scenario(
      'cors-preflight',
      'A preflight',
      get('/cors', { method: 'OPTIONS', headers: ['origin: http://ok.test', 'access-control-request-method: PUT'] }),
      ['cors preflight ok'],
    ),
    scenario(
      'cors-preflight-suffix',
      'A preflight by suffix',
      get('/cors', { method: 'OPTIONS', headers: ['origin: http://a.ok.test', 'access-control-request-method: PUT'] }),
    ),
    scenario(
      'cors-preflight-bad',
      'A preflight of another origin goes upstream',
      get('/cors', { method: 'OPTIONS', headers: ['origin: http://bad.test', 'access-control-request-method: PUT'] }),
      ['cors preflight bad origin'],
    ),
    scenario(
      'cors-options-plain',
      'OPTIONS without access-control-request-method',
      get('/cors', { method: 'OPTIONS', headers: ['origin: http://ok.test'] }),
    ),
    scenario(
      'cors-simple',
      'A simple request',
      [
        get('/cors', { headers: ['origin: http://ok.test'] }),
        get('/cors', { headers: ['origin: http://bad.test'] }),
        get('/cors'),
      ],
      ['cors simple'],
      { stats: ['^http\\.main\\.cors\\.'] },
    ),
    scenario(
      'csrf-bad-origin',
      'A POST of another origin',
      get('/csrf', { listener: 'csrf', method: 'POST', headers: ['origin: http://evil.test'], body: 'x' }),
      ['csrf POST bad origin'],
    ),
    scenario('csrf-no-origin', 'A POST without origin', get('/csrf', { listener: 'csrf', method: 'POST', body: 'x' }), [
      'csrf POST no origin',
    ]),
    scenario('csrf-ok', 'Own and additional origins', [
      get('/csrf', { listener: 'csrf', method: 'POST', headers: ['origin: http://lab.test'], body: 'x' }),
      get('/csrf', { listener: 'csrf', method: 'POST', headers: ['referer: http://ok.test/x'], body: 'x' }),
      get('/csrf', { listener: 'csrf', headers: ['origin: http://evil.test'] }),
    ]),
    scenario('csrf-grpc', 'To a gRPC client', grpc('/csrf', { origin: 'http://e.test' }, 'csrf'), ['grpc csrf']),
    scenario(
      'buffer',
      'A body over the limit',
      get('/buf', { listener: 'body', method: 'POST', body: 'x'.repeat(50) }),
      ['buffer filter too big'],
    ),
    scenario('buffer-chunked', 'A chunked body gets a content-length', {
      ...get('/buf', { listener: 'body' }),
      actions: ['POST /buf HTTP/1.1\r\nHost: lab.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
    } as ReturnType<typeof get>),
    scenario('buffer-grpc', 'To a gRPC client, within the limit', grpc('/buf', {}, 'body'), ['grpc buffer 413']),
    scenario(
      'header-mutation',
      'Mutations of request and answer',
      get('/hm?x', { listener: 'body', headers: ['x-gone: 1'] }),
    ),
    scenario(
      'jwt-missing',
      'No token',
      [get('/jwt', { listener: 'jwt' }), get('/jwt?x=1', { listener: 'jwt', host: 'lab.test:80' })],
      ['jwt missing'],
    ),
    scenario(
      'jwt-bad',
      'A token that is none',
      get('/jwt', { listener: 'jwt', headers: ['authorization: Bearer abc.def.ghi'] }),
      ['jwt bad token'],
    ),
    scenario(
      'jwt-not-bearer',
      'Another scheme',
      get('/jwt', { listener: 'jwt', headers: ['authorization: Basic abc'] }),
    ),
    scenario('jwt-grpc', 'To a gRPC client', grpc('/jwt', {}, 'jwt'), ['grpc jwt']),
    scenario('authz-down', 'The authorisation service is down', get('/authz', { listener: 'azgrpc' }), [
      'ext_authz server down',
    ]),
    scenario('authz-down-grpc', 'The same to a gRPC client', grpc('/authz', {}, 'azgrpc'), ['grpc ext_authz']),
    scenario('authz-failure-allowed', 'failure_mode_allow', get('/x', { listener: 'open' })),
    scenario(
      'authz-http-ok',
      'The HTTP service allows',
      get('/x?q=1', {
        listener: 'authzhttp',
        headers: ['x-a: 1', 'authorization: t', 'y: 2'],
        up: 'hdr:x-user=me,hdr:x-reason=r',
      }),
      [],
      SHUFFLED,
    ),
    scenario(
      'authz-http-denied',
      'The HTTP service denies',
      get('/x', { listener: 'authzhttp', method: 'POST', body: 'abc', up: 'status:401,hdr:x-reason=r,hdr:x-other=o' }),
      [],
      SHUFFLED,
    ),
    scenario(
      'authz-http-5xx',
      'The HTTP service fails',
      get('/x', { listener: 'authzhttp', up: 'status:503' }),
      [],
      SHUFFLED,
    ),
    scenario(
      'authz-http-timeout',
      'The HTTP service is late',
      get('/x', { listener: 'authzhttp', up: 'delay:500' }),
      [],
      SHUFFLED,
    ),
    scenario('lua-respond', 'A response by Lua', get('/lua', { listener: 'lua' }), ['lua respond']),
    scenario('lua-grpc', 'To a gRPC client', grpc('/lua', {}, 'lua'), ['grpc lua']),
    scenario('lua-error', 'A Lua error is only logged', get('/luaerr', { listener: 'lua' }), ['lua runtime error']),
    scenario('health-check', 'The health check filter', [
      get('/healthz', { listener: 'health' }),
      get('/other', { listener: 'health' }),
    ]),
    scenario(
      'compressor',
      'gzip by request',
      [
        get('/x', {
          listener: 'compress',
          headers: ['accept-encoding: gzip'],
          up: 'bare,hdr:content-type=text/html,body:5000',
        }),
        get('/x', {
          listener: 'compress',
          headers: ['accept-encoding: identity'],
          up: 'bare,hdr:content-type=text/html,body:100',
        }),
        get('/x', { listener: 'compress', up: 'bare,hdr:content-type=text/html,body:50' }),
      ],
      [],
      { log: false },
    ),
    scenario(
      'grpc-web',
      'gRPC-Web becomes gRPC',
      get('/pkg.Svc/M', {
        listener: 'grpcweb',
        method: 'POST',
        headers: ['content-type: application/grpc-web+proto'],
        body: '\0\0\0\0\x02hi',
        up: 'grpc:0:fine',
      }),
    ),
    scenario(
      'grpc-web-text',
      'gRPC-Web text is base64',
      get('/pkg.Svc/M', {
        listener: 'grpcweb',
        method: 'POST',
        headers: ['content-type: application/grpc-web-text'],
        body: 'AAAAAAJoaQ==',
        up: 'grpc:0',
      }),
    ),
    scenario('grpc-stats', 'grpc_stats per method', grpc('/pkg.Svc/M', { 'x-up': 'grpc:5' }, 'grpcweb'), [], {
      stats: ['^cluster\\.h2\\.grpc\\.'],
    }),
  ],
}

export default { ...group, upstreams: { ...group.upstreams, h2: { kind: 'h2' } } } satisfies Group

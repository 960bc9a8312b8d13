import { bootstrap, cluster, httpListener } from '../configs/builder.ts'
import { type Group, get, h2, type RequestOptions, raw, scenario } from '../scenario.ts'

/** Which route a request takes, and what the route does to path and host. */
const ROUTES = `
- {name: exact, match: {path: /exact}, direct_response: {status: 200, body: {inline_string: exact}}}
- {name: exact-nocase, match: {path: /NoCase, case_sensitive: false}, direct_response: {status: 200, body: {inline_string: nocase}}}
- {name: regex, match: {safe_regex: {regex: "/re/[0-9]+"}}, direct_response: {status: 200, body: {inline_string: regex}}}
- {name: separated, match: {path_separated_prefix: /sep}, direct_response: {status: 200, body: {inline_string: separated}}}
- {name: h-exact, match: {prefix: /h, headers: [{name: x-k, string_match: {exact: exact}}]}, direct_response: {status: 200, body: {inline_string: h-exact}}}
- {name: h-prefix, match: {prefix: /h, headers: [{name: x-k, string_match: {prefix: pre}}]}, direct_response: {status: 200, body: {inline_string: h-prefix}}}
- {name: h-suffix, match: {prefix: /h, headers: [{name: x-k, string_match: {suffix: suf}}]}, direct_response: {status: 200, body: {inline_string: h-suffix}}}
- {name: h-contains, match: {prefix: /h, headers: [{name: x-k, string_match: {contains: MID, ignore_case: true}}]}, direct_response: {status: 200, body: {inline_string: h-contains}}}
- {name: h-regex, match: {prefix: /h, headers: [{name: x-k, string_match: {safe_regex: {regex: "r[0-9]"}}}]}, direct_response: {status: 200, body: {inline_string: h-regex}}}
- {name: h-range, match: {prefix: /h, headers: [{name: x-n, range_match: {start: 5, end: 10}}]}, direct_response: {status: 200, body: {inline_string: h-range}}}
- {name: h-present, match: {prefix: /h, headers: [{name: x-p, present_match: true}]}, direct_response: {status: 200, body: {inline_string: h-present}}}
- {name: h-absent, match: {prefix: /h, headers: [{name: x-q, present_match: false}]}, direct_response: {status: 200, body: {inline_string: h-absent}}}
- {name: h-invert, match: {prefix: /h, headers: [{name: x-q, string_match: {exact: one}, invert_match: true}]}, direct_response: {status: 200, body: {inline_string: h-invert}}}
- {name: h-missing-empty, match: {prefix: /h, headers: [{name: x-z, string_match: {exact: ""}, treat_missing_header_as_empty: true}, {name: x-y, present_match: true}]}, direct_response: {status: 200, body: {inline_string: h-missing}}}
- {name: h-method, match: {prefix: /meth, headers: [{name: ":method", string_match: {exact: PUT}}]}, direct_response: {status: 200, body: {inline_string: put}}}
- {name: q-exact, match: {prefix: /q, query_parameters: [{name: a, string_match: {exact: "1"}}]}, direct_response: {status: 200, body: {inline_string: q-exact}}}
- {name: q-present, match: {prefix: /q, query_parameters: [{name: b, present_match: true}]}, direct_response: {status: 200, body: {inline_string: q-present}}}
- {name: q-regex, match: {prefix: /q, query_parameters: [{name: c, string_match: {safe_regex: {regex: "x+"}}}]}, direct_response: {status: 200, body: {inline_string: q-regex}}}
- {name: cookie, match: {prefix: /cookie, cookies: [{name: sid, string_match: {exact: abc}}]}, direct_response: {status: 200, body: {inline_string: cookie}}}
- {name: frac0, match: {prefix: /frac, runtime_fraction: {default_value: {numerator: 0}}}, direct_response: {status: 200, body: {inline_string: frac0}}}
- {name: frac100, match: {prefix: /frac, runtime_fraction: {default_value: {numerator: 100}}}, direct_response: {status: 200, body: {inline_string: frac100}}}
- {name: runtime0, match: {prefix: /runtime, runtime_fraction: {default_value: {numerator: 100}, runtime_key: off_key}}, direct_response: {status: 200, body: {inline_string: runtime0}}}
- {name: runtime-else, match: {prefix: /runtime}, direct_response: {status: 200, body: {inline_string: runtime-else}}}
- {name: grpc, match: {prefix: /g, grpc: {}}, direct_response: {status: 200, body: {inline_string: grpc}}}
- {name: not-grpc, match: {prefix: /g}, direct_response: {status: 200, body: {inline_string: not-grpc}}}
- {name: wc-all, match: {prefix: /wc-all}, route: {weighted_clusters: {clusters: [{name: a, weight: 100, response_headers_to_add: [{header: {key: x-picked, value: a}}]}, {name: b, weight: 0}]}}}
- {name: wc-half, match: {prefix: /wc-half}, route: {weighted_clusters: {header_name: x-random, clusters: [{name: a, weight: 50}, {name: b, weight: 50}]}}}
- {name: wc-header, match: {prefix: /wc-header}, route: {weighted_clusters: {clusters: [{cluster_header: x-c, weight: 1}]}}}
- {name: rp, match: {path: /rp}, redirect: {path_redirect: /new}}
- {name: rq, match: {path: /rq}, redirect: {path_redirect: "/new?own=1"}}
- {name: rpre, match: {prefix: /rpre/}, redirect: {prefix_rewrite: /other/}}
- {name: rh, match: {path: /rh}, redirect: {host_redirect: other.test}}
- {name: rs, match: {prefix: /rs/}, redirect: {https_redirect: true}}
- {name: rport, match: {path: /rport}, redirect: {port_redirect: 8443, response_code: TEMPORARY_REDIRECT}}
- {name: rstrip, match: {path: /rstrip}, redirect: {path_redirect: /s, strip_query: true, response_code: FOUND}}
- {name: rre, match: {prefix: /rre/}, redirect: {regex_rewrite: {pattern: {regex: "^/rre/(.*)$"}, substitution: "/x/\\\\1"}, response_code: SEE_OTHER}}
- {name: rsch, match: {path: /rsch}, redirect: {scheme_redirect: ftp, response_code: PERMANENT_REDIRECT}}
- {name: rall, match: {path: /rall}, redirect: {scheme_redirect: https, host_redirect: o.test, port_redirect: 1, path_redirect: /p}, response_headers_to_add: [{header: {key: x-r, value: "1"}}]}
- {name: djson, match: {path: /djson}, direct_response: {status: 418, body: {inline_string: "{}"}}, response_headers_to_add: [{header: {key: content-type, value: application/json}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}
- {name: d204, match: {path: /d204}, direct_response: {status: 204}}
- {name: d304, match: {path: /d304}, direct_response: {status: 304}}
- {name: dfmt, match: {path: /dfmt}, direct_response: {status: 200, body: {inline_string: "unused"}, body_format: {text_format_source: {inline_string: "path=%REQ(:PATH)% code=%RESPONSE_CODE%"}}}}
- {name: prw, match: {prefix: /prw/}, route: {cluster: a, prefix_rewrite: /}}
- {name: prw-exact, match: {path: /prwexact}, route: {cluster: a, prefix_rewrite: /other}}
- {name: prw-sep, match: {path_separated_prefix: /psr}, route: {cluster: a, prefix_rewrite: /}}
- {name: rrw, match: {prefix: /rrw/}, route: {cluster: a, regex_rewrite: {pattern: {regex: "^/rrw/([^/]*)"}, substitution: "/q/\\\\1"}}}
- {name: hostrw, match: {path: /hostrw}, route: {cluster: a, host_rewrite_literal: rewritten.test, append_x_forwarded_host: true}}
- {name: hosthdr, match: {path: /hosthdr}, route: {cluster: a, host_rewrite_header: x-host}}
- {name: hostre, match: {prefix: /hostre/}, route: {cluster: a, host_rewrite_path_regex: {pattern: {regex: "^/hostre/([^/]+).*$"}, substitution: "\\\\1.test"}}}
- {name: autoh, match: {path: /autoh}, route: {cluster: named, auto_host_rewrite: true}}
- {name: mir, match: {path: /mir}, route: {cluster: a, request_mirror_policies: [{cluster: b, runtime_fraction: {default_value: {numerator: 100}}}]}}
- {name: mir0, match: {path: /mir0}, route: {cluster: a, request_mirror_policies: [{cluster: b, runtime_fraction: {default_value: {numerator: 0}}}]}}
- {name: mir-same-host, match: {path: /mirsame}, route: {cluster: a, request_mirror_policies: [{cluster: b, disable_shadow_host_suffix_append: true}]}}
- {name: ir, match: {prefix: /ir}, route: {cluster: a, internal_redirect_policy: {max_internal_redirects: 2, redirect_response_codes: [302, 303]}}}
- {name: ir-scheme, match: {prefix: /noir}, route: {cluster: a}}
- {name: target, match: {prefix: /target}, route: {cluster: b}}
- {name: prio, match: {path: /prio}, route: {cluster: a, priority: HIGH}}
- {name: prefix, match: {prefix: /pre}, direct_response: {status: 200, body: {inline_string: prefix}}}
- {name: connect, match: {connect_matcher: {}}, route: {cluster: tcp, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}
`
const direct = (body: string) =>
  `[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${body}}}}]`
const h = (...headers: string[]) => get('/h', { headers: ['x-q: one', ...headers] })
const at = (host: string) => get('/', { listener: 'domains', host })
const group: Group = {
  name: 'routing',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' }, tcp: { kind: 'tcp' } },
  config: bootstrap(
    [
      httpListener('main', { routes: ROUTES, hcm: 'upgrade_configs: [{upgrade_type: CONNECT}]' }),
      httpListener('template', {
        routes: `
- {name: template, match: {path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/tmpl/{a}/x/{b=**}"}}}, route: {cluster: a, path_rewrite_policy: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "/{b}/{a}"}}}}
`,
      }),
      httpListener('domains', {
        vhosts: `
- {name: any, domains: ["*"], routes: ${direct('any')}}
- {name: prefix, domains: ["lab.*"], routes: ${direct('prefix')}}
- {name: longprefix, domains: ["lab.long.*"], routes: ${direct('longprefix')}}
- {name: suffix, domains: ["*.test"], routes: ${direct('suffix')}}
- {name: longsuffix, domains: ["*.lab.test", "*-x.lab.test"], routes: ${direct('longsuffix')}}
- {name: exact, domains: [lab.test, "lab.test:8080"], routes: ${direct('exact')}}
- {name: tls, domains: [tls.test], require_tls: ALL, routes: ${direct('tls')}}
- {name: tlsext, domains: [tlsext.test], require_tls: EXTERNAL_ONLY, routes: ${direct('tlsext')}}
`,
      }),
      httpListener('ignoreport', {
        routeConfig: 'ignore_port_in_host_matching: true',
        vhosts: `[{name: one, domains: [lab.test], routes: ${direct('one')}}]`,
      }),
      httpListener('headers', {
        routeConfig: `
most_specific_header_mutations_wins: false
request_headers_to_add: [{header: {key: x-level, value: table}}, {header: {key: x-if-absent, value: table}, append_action: ADD_IF_ABSENT}]
request_headers_to_remove: [x-gone]
response_headers_to_add: [{header: {key: x-level, value: table}}]
response_headers_to_remove: [x-upstream]
`,
        vhosts: `
- name: all
  domains: ["*"]
  request_headers_to_add: [{header: {key: x-level, value: vhost}}]
  response_headers_to_add: [{header: {key: x-level, value: vhost}}]
  routes:
  - match: {prefix: /r}
    name: route-name
    metadata: {filter_metadata: {lab: {team: blue}}}
    request_headers_to_add:
    - {header: {key: x-level, value: route}}
    - {header: {key: x-over, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: x-only-over, value: new}, append_action: OVERWRITE_IF_EXISTS}
    - {header: {key: x-absent, value: new}, append_action: ADD_IF_ABSENT}
    - {header: {key: x-append, value: new}, append_action: APPEND_IF_EXISTS_OR_ADD}
    - {header: {key: x-empty, value: "%REQ(x-none)%"}, keep_empty_value: true}
    - {header: {key: x-dropped, value: "%REQ(x-none)%"}}
    - {header: {key: x-format, value: "%PROTOCOL%|%REQ(:AUTHORITY)%|%REQ(x-none?:METHOD)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_ADDRESS%|%ROUTE_NAME%|%METADATA(ROUTE:lab:team)%|100%%"}}
    request_headers_to_remove: [x-gone-route]
    response_headers_to_add:
    - {header: {key: x-level, value: route}}
    - {header: {key: x-code, value: "%RESPONSE_CODE%|%UPSTREAM_CLUSTER%|%UPSTREAM_HOST%|%RESP(content-type)%"}}
    - {header: {key: server, value: mine}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    route: {cluster: a}
  - match: {prefix: /w}
    route:
      weighted_clusters:
        clusters:
        - {name: a, weight: 1, request_headers_to_add: [{header: {key: x-level, value: cluster}}], response_headers_to_add: [{header: {key: x-level, value: cluster}}], response_headers_to_remove: [content-type], host_rewrite_literal: wc.test}
  - match: {prefix: /d}
    direct_response: {status: 200, body: {inline_string: d}}
  - match: {prefix: /u}
    route: {cluster: closed}
`,
      }),
      httpListener('specific', {
        routeConfig:
          'most_specific_header_mutations_wins: true\nresponse_headers_to_add: [{header: {key: x-o, value: table}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]',
        vhosts: `
- {name: all, domains: ["*"], response_headers_to_add: [{header: {key: x-o, value: vhost}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}], routes: [{match: {prefix: /}, response_headers_to_add: [{header: {key: x-o, value: route}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}], route: {cluster: a}}]}
`,
      }),
    ],
    [
      cluster('a', 'a'),
      cluster('b', 'b'),
      cluster('tcp', 'tcp'),
      cluster('closed', 'nobody'),
      {
        ...cluster('named', []),
        type: 'STRICT_DNS',
        dns_lookup_family: 'V4_ONLY',
        load_assignment: {
          cluster_name: 'named',
          endpoints: [
            {
              lb_endpoints: [
                { endpoint: { address: { socket_address: { address: 'localhost', port_value: '$port(a)' } } } },
              ],
            },
          ],
        },
      },
    ],
    'layered_runtime: {layers: [{name: s, static_layer: {off_key: {numerator: 0, denominator: HUNDRED}}}]}',
  ),
  scenarios: [
    scenario('exact', 'An exact path, with and without query', [
      get('/exact'),
      get('/exact?a=b'),
      get('/exact/'),
      get('/EXACT'),
    ]),
    scenario('case-insensitive', 'case_sensitive: false', [get('/nocase'), get('/NOCASE')]),
    scenario('regex', 'A regex matches the whole path without query', [get('/re/12'), get('/re/12?x'), get('/re/12a')]),
    scenario('separated-prefix', 'path_separated_prefix', [
      get('/sep'),
      get('/sep/a'),
      get('/sep?q'),
      get('/separate'),
    ]),
    scenario('uri-template', 'URI templates match and rewrite', [
      get('/tmpl/1/x/2/3?q=1', { listener: 'template' }),
      get('/tmpl/1/2', { listener: 'template' }),
    ]),
    scenario('prefix', 'A prefix', [get('/prefix'), get('/pr')]),
    scenario('header-exact', 'Exact header match', [h('x-k: exact'), h('x-k: Exact')]),
    scenario('header-prefix-suffix', 'Prefix and suffix', [h('x-k: prefix'), h('x-k: asuf')]),
    scenario('header-contains', 'Contains without case', h('x-k: a-mid-b')),
    scenario('header-regex', 'Full match of a regex', [h('x-k: r1'), h('x-k: r12')]),
    scenario('header-range', 'A half-open range', [h('x-n: 5'), h('x-n: 9'), h('x-n: 10'), h('x-n: x')]),
    scenario('header-present', 'Presence', h('x-p:')),
    scenario('header-absent', 'Absence', get('/h')),
    scenario('header-invert', 'Inverted match', get('/h', { headers: ['x-q: two'] })),
    scenario('header-missing-as-empty', 'treat_missing_header_as_empty', h('x-y: 1')),
    scenario('header-repeated', 'Repeated headers are matched joined by a comma', h('x-k: exact', 'x-k: exact')),
    scenario('header-method', 'A pseudo-header', [get('/meth', { method: 'PUT' }), get('/meth')]),
    scenario('query-exact', 'A query parameter', [get('/q?a=1'), get('/q?a=2&a=1'), get('/q?a=2')]),
    scenario('query-present', 'Presence of a parameter', [get('/q?b'), get('/q?x=1&b=')]),
    scenario('query-regex', 'Regex of a parameter', [get('/q?c=xx'), get('/q?c=%78')]),
    scenario('cookie', 'A cookie matcher', [
      get('/cookie', { headers: ['cookie: x=1; sid=abc'] }),
      get('/cookie', { headers: ['cookie: sid=ab'] }),
    ]),
    scenario('fraction', 'A fraction of 0 never, of 100 always', get('/frac')),
    scenario('runtime-fraction', 'A runtime key overrides the default', get('/runtime')),
    scenario('grpc-match', 'grpc: {} looks at content-type', [
      get('/g', { headers: ['content-type: application/grpc'] }),
      get('/g', { headers: ['content-type: application/grpc+proto'] }),
      get('/g', { headers: ['content-type: application/grpc-web'] }),
      get('/g'),
    ]),
    scenario('weighted', 'A weight of 0 is never taken', get('/wc-all')),
    scenario(
      'weighted-header',
      'header_name gives the random value',
      [0, 49, 50, 99, 150].map(n => get('/wc-half', { headers: [`x-random: ${n}`] })),
    ),
    scenario('weighted-cluster-header', 'cluster_header in weighted clusters', [
      get('/wc-header', { headers: ['x-c: b'] }),
      get('/wc-header', { headers: ['x-c: zzz'] }),
      get('/wc-header'),
    ]),
    scenario('redirect-path', 'path_redirect keeps the query', get('/rp?q=1'), ['redirect path']),
    scenario('redirect-path-query', 'path_redirect with a query', get('/rq?q=1'), ['redirect path with own query']),
    scenario('redirect-prefix', 'prefix_rewrite', get('/rpre/a?q=1'), ['redirect prefix_rewrite']),
    scenario(
      'redirect-host',
      'host_redirect',
      [get('/rh?q=1'), get('/rh', { host: 'lab.test:80' })],
      ['redirect host'],
    ),
    scenario(
      'redirect-https',
      'https_redirect',
      [get('/rs/a?q=1'), get('/rs/a', { host: 'lab.test:80' }), get('/rs/a', { host: 'lab.test:8080' })],
      ['redirect https'],
    ),
    scenario('redirect-https-h2', 'https_redirect over HTTP/2', h2('/rs/'), ['h2 redirect https']),
    scenario('redirect-grpc', 'A redirect to a gRPC client', h2('/rp', { 'content-type': 'application/grpc' }), [
      'grpc redirect',
    ]),
    scenario('redirect-port', 'port_redirect, 307', get('/rport'), ['redirect port 307']),
    scenario('redirect-strip-query', 'strip_query, 302', get('/rstrip?q=1'), ['redirect strip_query 302']),
    scenario('redirect-regex', 'regex_rewrite, 303', get('/rre/abc?x=1'), ['redirect regex 303']),
    scenario('redirect-scheme', 'scheme_redirect, 308', get('/rsch'), ['redirect scheme 308']),
    scenario('redirect-everything', 'All parts of a redirect', get('/rall?x')),
    scenario('direct-json', 'A direct response with a content type', get('/djson'), ['direct_response 418 json ctype']),
    scenario('direct-204', 'direct_response 204', get('/d204'), ['direct_response 204']),
    scenario('direct-304', 'direct_response 304', get('/d304')),
    scenario('direct-format', 'direct_response body_format', get('/dfmt?x'), ['direct_response body_format']),
    scenario('rewrite-prefix', 'prefix_rewrite', [get('/prw/a/b?q=1'), get('/prw/')]),
    scenario('rewrite-prefix-exact', 'prefix_rewrite on an exact match', get('/prwexact?q')),
    scenario('rewrite-prefix-separated', 'prefix_rewrite on a separated prefix', [get('/psr/a'), get('/psr')]),
    scenario('rewrite-regex', 'regex_rewrite', get('/rrw/abc/d?q=1'), ['rewrites: x-envoy-original-path [18080]']),
    scenario('rewrite-host', 'host_rewrite_literal', get('/hostrw'), [
      'host_rewrite_literal + append_x_forwarded_host',
    ]),
    scenario('rewrite-host-header', 'host_rewrite_header', [
      get('/hosthdr', { headers: ['x-host: h.test'] }),
      get('/hosthdr'),
    ]),
    scenario('rewrite-host-regex', 'host_rewrite_path_regex', get('/hostre/zed/x?q')),
    scenario('rewrite-host-auto', 'auto_host_rewrite', get('/autoh'), ['auto_host_rewrite']),
    scenario(
      'mirror',
      'The shadow gets its own host and nobody waits for it',
      get('/mir', { method: 'POST', body: 'hello' }),
      ['mirror'],
      { unordered: true },
    ),
    scenario('mirror-never', 'A mirror fraction of 0', get('/mir0')),
    scenario('mirror-same-host', 'disable_shadow_host_suffix_append', get('/mirsame'), [], { unordered: true }),
    scenario(
      'internal-redirect',
      'A 302 is followed inside',
      get('/ir', { up: 'status:302,hdr:location=http://lab.test/target?x|ok' }),
    ),
    scenario(
      'internal-redirect-relative',
      'A relative location',
      get('/ir/a', { up: 'status:302,hdr:location=/target/rel|ok' }),
    ),
    scenario(
      'internal-redirect-303',
      'A 303 becomes GET',
      get('/ir', { method: 'POST', body: 'x', up: 'status:303,hdr:location=http://lab.test/target|ok' }),
    ),
    scenario(
      'internal-redirect-body',
      'A 302 with a body is replayed',
      get('/ir', { method: 'POST', body: 'hello', up: 'status:302,hdr:location=http://lab.test/target|ok' }),
    ),
    scenario(
      'internal-redirect-other-code',
      'A code that is not listed',
      get('/ir', { up: 'status:301,hdr:location=http://lab.test/target' }),
    ),
    scenario(
      'internal-redirect-loop',
      'No more than max_internal_redirects',
      get('/ir', { up: 'status:302,hdr:location=http://lab.test/ir/again' }),
    ),
    scenario(
      'internal-redirect-off',
      'Without the policy',
      get('/noir', { up: 'status:302,hdr:location=http://lab.test/target' }),
    ),
    scenario(
      'internal-redirect-https',
      'A redirect to another scheme',
      get('/ir', { up: 'status:302,hdr:location=https://lab.test/target' }),
    ),
    scenario('priority-high', 'Route priority is no header', get('/prio')),
    scenario(
      'connect',
      'CONNECT with connect_config is a TCP tunnel',
      raw(
        [
          'CONNECT lab.test:443 HTTP/1.1\r\nHost: lab.test:443\r\n\r\n',
          { responses: 1 },
          'ping',
          { wait: 60 },
          { end: true },
          { closed: true },
        ],
        { methods: ['CONNECT'], responses: 0 } as RequestOptions,
      ),
      [],
      { logLines: 1 },
    ),
    scenario('domain-exact', 'An exact domain first', at('lab.test')),
    scenario('domain-port', 'A domain with port', [at('lab.test:8080'), at('lab.test:9')]),
    scenario('domain-suffix', 'The longest suffix wins', [at('a.lab.test'), at('b.test'), at('b-x.lab.test')]),
    scenario('domain-prefix', 'The longest prefix, after suffixes', [
      at('lab.org'),
      at('lab.long.org'),
      at('lab.zz.test'),
    ]),
    scenario('domain-any', 'The catch-all last', at('other.org')),
    scenario('domain-case', 'Domains are compared in lower case', at('LAB.TEST')),
    scenario('require-tls', 'require_tls ALL', [
      get('/x?q=1', { listener: 'domains', host: 'tls.test' }),
      get('/x', { listener: 'domains', host: 'tlsext.test' }),
    ]),
    scenario('ignore-port', 'ignore_port_in_host_matching', [
      get('/', { listener: 'ignoreport', host: 'lab.test:1234' }),
      get('/', { listener: 'ignoreport', host: 'x.test:1' }),
    ]),
    scenario(
      'header-mutation',
      'Header changes at all levels, in order',
      get('/r', {
        listener: 'headers',
        headers: [
          'x-over: old',
          'x-only-over: old',
          'x-absent: old',
          'x-append: old',
          'x-gone: 1',
          'x-gone-route: 1',
          'x-level: client',
          'x-if-absent: client',
        ],
      }),
      ['request/response headers add/remove'],
    ),
    scenario('header-mutation-defaults', 'The same without client headers', get('/r', { listener: 'headers' })),
    scenario('header-mutation-weighted', 'Weighted clusters change headers first', get('/w', { listener: 'headers' })),
    scenario('header-mutation-direct', 'Direct responses get response headers', get('/d', { listener: 'headers' })),
    scenario(
      'header-mutation-local',
      'Local replies of the router get response headers',
      get('/u', { listener: 'headers' }),
    ),
    scenario('header-mutation-none', 'A reply without a route gets none', get('/zzz', { listener: 'headers' })),
    scenario('most-specific-wins', 'most_specific_header_mutations_wins', get('/', { listener: 'specific' })),
  ],
}

export default group

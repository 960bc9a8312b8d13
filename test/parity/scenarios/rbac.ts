import {
  bootstrap,
  cluster,
  downstreamTls,
  fileLog,
  httpListener,
  LOG_FORMAT,
  tcpListener,
  typed,
} from '../configs/builder.ts'
import { type Group, get, type RequestOptions, type Step, scenario, tcp } from '../scenario.ts'

/** Role-based access control of requests and connections: every kind of rule, what is counted, and what others can see of it. */
const HTTP = 'envoy.extensions.filters.http.rbac.v3.RBAC'
const NETWORK = 'envoy.extensions.filters.network.rbac.v3.RBAC'
const ANY = '[{any: true}]'
const FORMAT = LOG_FORMAT.replace(
  'type=',
  'md=%DYNAMIC_METADATA(envoy.filters.http.rbac)% hint=%DYNAMIC_METADATA(envoy.common)% type=',
)
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const http = (
  name: string,
  body: string,
  more: { transport?: object; hcm?: string; routes?: string; listener?: string } = {},
) =>
  httpListener(name, {
    routes: more.routes ?? '[{match: {prefix: /}, route: {cluster: a}}]',
    hcm: `${LOG}\n${more.hcm ?? ''}`,
    filters: [typed('envoy.filters.http.rbac', HTTP, body)],
    listener: more.listener ?? '',
    ...(more.transport === undefined ? {} : { transport: more.transport as Record<string, unknown> }),
  })
const allow = (permissions: string, principals = ANY) =>
  `rules: {action: ALLOW, policies: {p: {permissions: ${permissions}, principals: ${principals}}}}`
const tls = (ca: string) =>
  downstreamTls(
    `common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]${ca}}`,
  )
const VALIDATION = ', validation_context: {trusted_ca: {filename: $cert(ca.pem)}}'
const ask = (listener: string, path = '/', options: RequestOptions = {}): Step => get(path, { listener, ...options })
const network = (name: string, body: string, listener = '') =>
  tcpListener(name, 'cluster: t', listener, [
    typed('envoy.filters.network.rbac', NETWORK, `stat_prefix: ${name}.\n${body}`),
  ])
const identity = (name: string) => `[{authenticated: {principal_name: ${name}}}]`
const INSPECTOR =
  'listener_filters: [{name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]'
const TLS = { sni: 'lab.test' }

const group: Group = {
  name: 'rbac',
  upstreams: { a: { kind: 'http1' }, t: { kind: 'tcp' } },
  config: bootstrap(
    [
      http(
        'order',
        `
rules:
  action: ALLOW
  policies:
    b: {permissions: [{url_path: {path: {prefix: /x}}}], principals: ${ANY}}
    a: {permissions: [{url_path: {path: {prefix: /x/y}}}], principals: ${ANY}}
    "c d": {permissions: [{and_rules: {rules: [{header: {name: ":method", string_match: {exact: POST}}}, {not_rule: {header: {name: x-no, present_match: true}}}]}}], principals: [{or_ids: {ids: [{header: {name: x-a, string_match: {exact: "1"}}}, {header: {name: x-b, string_match: {safe_regex: {regex: "v[0-9]+"}}}}]}}]}
rules_stat_prefix: rp
track_per_rule_stats: true
`,
      ),
      http(
        'both',
        `
rules: {action: DENY, policies: {"deny it": {permissions: [{url_path: {path: {exact: /no}}}], principals: ${ANY}}}}
shadow_rules: {action: ALLOW, policies: {s: {permissions: [{url_path: {path: {suffix: .html}}}], principals: ${ANY}}}}
shadow_rules_stat_prefix: dry_
track_per_rule_stats: true
`,
      ),
      http(
        'log',
        `rules: {action: LOG, policies: {l: {permissions: [{url_path: {path: {prefix: /log}}}], principals: ${ANY}}}}`,
      ),
      http('route', allow('[{header: {name: x-never, present_match: true}}]'), {
        routes: `
- match: {prefix: /open}
  route: {cluster: a}
  typed_per_filter_config: {envoy.filters.http.rbac: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute}}
- match: {prefix: /md}
  route: {cluster: a}
  metadata: {filter_metadata: {app: {tier: gold}}}
  typed_per_filter_config:
    envoy.filters.http.rbac:
      "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute
      rbac: {${allow('[{sourced_metadata: {metadata_matcher: {filter: app, path: [{key: tier}], value: {string_match: {exact: gold}}}, metadata_source: ROUTE}}]')}}
- match: {prefix: /dyn}
  route: {cluster: a}
  typed_per_filter_config:
    envoy.filters.http.rbac:
      "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute
      rbac: {${allow('[{metadata: {filter: app, path: [{key: tier}], value: {string_match: {exact: gold}}, invert: true}}]')}}
- match: {prefix: /}
  route: {cluster: a}
`,
      }),
      http('remote', allow(ANY, '[{remote_ip: {address_prefix: 10.1.0.0, prefix_len: 16}}]'), {
        hcm: 'use_remote_address: true\nxff_num_trusted_hops: 1',
      }),
      http('source', allow(ANY, '[{source_ip: {address_prefix: 10.1.0.0, prefix_len: 16}}]'), {
        hcm: 'use_remote_address: true\nxff_num_trusted_hops: 1',
      }),
      http('direct', allow(ANY, '[{not_id: {direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}}]')),
      http(
        'port',
        allow(
          '[{and_rules: {rules: [{destination_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}, {destination_port_range: {start: 1024, end: 65536}}, {not_rule: {destination_port: 80}}]}}]',
        ),
      ),
      http(
        'template',
        allow(
          '[{uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/a/{x}/c"}}}]',
        ),
      ),
      http('uri', allow(ANY, identity('{prefix: "spiffe://"}')), { transport: tls(VALIDATION) }),
      http('subject', allow(ANY, identity('{contains: "CN="}')), { transport: tls(VALIDATION) }),
      http('anytls', allow(ANY, '[{authenticated: {}}]'), { transport: tls(VALIDATION) }),
      http('plain', allow(ANY, '[{authenticated: {}}]')),
      http('sni', allow('[{requested_server_name: {exact: lab.test}}]'), { transport: tls(''), listener: INSPECTOR }),
      network(
        'tcpdeny',
        `rules: {action: DENY, policies: {"my pol": {permissions: ${ANY}, principals: [{direct_remote_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}]}}}`,
      ),
      network(
        'tcpshadow',
        `
shadow_rules: {action: DENY, policies: {s: {permissions: ${ANY}, principals: ${ANY}}}}
shadow_rules_stat_prefix: sh_
rules: {action: ALLOW, policies: {r: {permissions: [{url_path: {path: {prefix: /}}}, {destination_port: 1}], principals: ${ANY}}}}
`,
      ),
      network('tcpslow', `rules: {action: ALLOW}\ndelay_deny: 0.2s`),
      network(
        'tcpall',
        `enforcement_type: CONTINUOUS\nrules: {action: DENY, policies: {n: {permissions: [{destination_port: 1}], principals: ${ANY}}}}`,
      ),
    ],
    [cluster('a', 'a'), cluster('t', 't')],
  ),
  scenarios: [
    scenario(
      'first-policy-by-name',
      'The first matching policy in the order of names decides, and is counted',
      [
        ask('order', '/x/y'),
        ask('order', '/x?/x/y'),
        ask('order', '/z'),
        ask('order', '/z', { method: 'POST', headers: ['x-b: v12'] }),
      ],
      [],
      { stats: ['^http\\.order\\.rbac\\.'] },
    ),
    scenario(
      'and-or-not',
      'Nested rules: all of a set, one of a set, none',
      [
        ask('order', '/n', { method: 'POST', headers: ['x-a: 1'] }),
        ask('order', '/n', { method: 'POST', headers: ['x-a: 1', 'x-no: 1'] }),
        ask('order', '/n', { method: 'POST', headers: ['x-b: v'] }),
        ask('order', '/n', { method: 'POST', headers: ['x-b: v1', 'x-b: other'] }),
        ask('order', '/n', { headers: ['x-a: 1'] }),
      ],
      [],
      { stats: ['^http\\.order\\.rbac\\.'] },
    ),
    scenario(
      'shadow-and-rules',
      'Shadow rules are counted and shown, rules are enforced',
      [ask('both', '/no'), ask('both', '/a.html'), ask('both', '/a.html?q#f'), ask('both', '/no?x')],
      [],
      { stats: ['^http\\.both\\.rbac\\.'] },
    ),
    scenario(
      'log-action',
      'LOG allows and leaves a hint for access logs',
      [ask('log', '/log'), ask('log', '/other')],
      [],
      {
        stats: ['^http\\.log\\.rbac\\.'],
      },
    ),
    scenario(
      'per-route',
      'A route may turn the rules off or have its own; route metadata',
      [ask('route', '/open'), ask('route', '/md'), ask('route', '/dyn'), ask('route', '/else')],
      [],
      { stats: ['^http\\.route\\.rbac\\.'] },
    ),
    scenario('remote-ip', 'remote_ip is the client that x-forwarded-for names, source_ip the peer of the connection', [
      ask('remote', '/', { headers: ['x-forwarded-for: 10.1.2.3, 10.9.9.9'] }),
      ask('remote', '/', { headers: ['x-forwarded-for: 10.9.9.9, 10.1.2.3'] }),
      ask('remote'),
      ask('source', '/', { headers: ['x-forwarded-for: 10.1.2.3'] }),
      ask('direct'),
    ]),
    scenario('destination', 'Address and port the connection came to', ask('port')),
    scenario('uri-template', 'A path template', [
      ask('template', '/a/b/c'),
      ask('template', '/a/b/c?d'),
      ask('template', '/a/b/d'),
    ]),
    scenario('identity', 'The name in a client certificate: URI SAN, DNS SAN, subject', [
      ask('uri', '/', { tls: { ...TLS, certificate: 'client' } }),
      ask('uri', '/', { tls: TLS }),
      ask('subject', '/', { tls: { ...TLS, certificate: 'client' } }),
      ask('anytls', '/', { tls: TLS }),
      ask('plain'),
    ]),
    scenario('server-name', 'The server name a client asked for', [
      ask('sni', '/', { tls: TLS }),
      ask('sni', '/', { tls: { sni: 'other.test' } }),
    ]),
    scenario(
      'tcp-denied',
      'A denied connection is closed with its first bytes, and says which policy did it',
      tcp('tcpdeny', ['hi', { closed: true }]),
      [],
      { stats: ['^tcpdeny\\.rbac\\.'] },
    ),
    scenario(
      'tcp-shadow',
      'Shadow rules of connections; rules about requests match nothing',
      tcp('tcpshadow', ['hi', { wait: 50 }, { end: true }]),
      [],
      {
        stats: ['^tcpshadow\\.rbac\\.'],
      },
    ),
    scenario('tcp-delay', 'delay_deny', tcp('tcpslow', ['hi', { closed: true }]), [], {
      stats: ['^tcpslow\\.rbac\\.'],
    }),
    scenario(
      'tcp-continuous',
      'Every piece is asked about',
      tcp('tcpall', ['hi', { wait: 100 }, 'ho', { wait: 50 }, { end: true }]),
      [],
      {
        stats: ['^tcpall\\.rbac\\.'],
      },
    ),
  ],
}

export default group

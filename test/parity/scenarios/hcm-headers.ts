import { bootstrap, cluster, H2_UPSTREAM, httpListener } from '../configs/builder.ts'
import { type Group, get, h2, type Scenario, scenario } from '../scenario.ts'

/** What the connection manager adds to, takes from and trusts in requests and answers. */
const ROUTES = `
- {match: {path: /uf}, route: {cluster: closed}}
- {match: {prefix: /rrw/}, route: {cluster: a, regex_rewrite: {pattern: {regex: "^/rrw/"}, substitution: "/q/"}}}
- {match: {prefix: /h2}, route: {cluster: h2}}
- {match: {prefix: /}, route: {cluster: a}}
`
const EVERYTHING = [
  'x-envoy-retry-on: 5xx',
  'x-envoy-max-retries: 3',
  'x-envoy-upstream-rq-timeout-ms: 5000',
  'x-envoy-upstream-rq-per-try-timeout-ms: 1000',
  'x-envoy-expected-rq-timeout-ms: 77',
  'x-envoy-original-path: /orig',
  'x-envoy-decorator-operation: op',
  'x-envoy-downstream-service-cluster: dsc',
  'x-envoy-downstream-service-node: dsn',
  'x-envoy-internal: true',
  'x-envoy-force-trace: true',
  'x-envoy-attempt-count: 9',
  'x-envoy-external-address: 9.9.9.9',
  'x-envoy-ip-tags: tag',
  'x-envoy-original-dst-host: 1.2.3.4:80',
  'x-envoy-is-timeout-retry: true',
  'x-envoy-foo: bar',
  'x-request-id: client-id',
  'x-client-trace-id: ct',
  'x-forwarded-for: 10.1.2.3, 8.8.8.8',
  'x-forwarded-proto: https',
  'x-forwarded-host: fh',
  'x-forwarded-port: 99',
  'x-forwarded-client-cert: By=x',
  'forwarded: for=1.1.1.1',
  'via: 1.1 v',
  'user-agent: ua',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'server: cs',
  'x-ot-span-context: z',
]

/** The five standard requests against one listener; the reference numbers its listeners by port. */
function standard(listener: string, doc: string, port: number): Scenario[] {
  const covered = (label: string) => [`${label} [${port}]`]
  const rewrites = port === 18091 ? [] : covered('rewrites: x-envoy-original-path')
  return [
    scenario(`${listener}-plain`, `${doc}: a plain request`, get('/plain', { listener }), covered('plain request')),
    scenario(
      `${listener}-everything`,
      `${doc}: a request full of proxy headers`,
      get('/xh', { listener, headers: EVERYTHING }),
      covered('with all x-envoy-* and x-forwarded-*'),
    ),
    scenario(
      `${listener}-upstream`,
      `${doc}: an answer with x-envoy-* headers`,
      get('/xhdr', { listener, up: 'envoyheaders' }),
      covered('upstream sends x-envoy-* response headers'),
    ),
    scenario(
      `${listener}-xff`,
      `${doc}: x-forwarded-for of one private address`,
      get('/xff', { listener, headers: ['x-forwarded-for: 10.1.2.3'] }),
      covered('x-forwarded-for 10.1.2.3 only'),
    ),
    scenario(`${listener}-rewrite`, `${doc}: a rewritten path`, get('/rrw/abc?q=1', { listener }), rewrites),
  ]
}

const group: Group = {
  name: 'hcm-headers',
  upstreams: { a: { kind: 'http1' }, h2: { kind: 'h2' } },
  config: bootstrap(
    [
      httpListener('plain', { routes: ROUTES }),
      httpListener('edge', {
        vhosts: `[{name: all, domains: ["*"], include_request_attempt_count: true, include_attempt_count_in_response: true, routes: [{match: {path: /uf}, route: {cluster: closed}}, {match: {prefix: /rrw/}, route: {cluster: a, regex_rewrite: {pattern: {regex: "^/rrw/"}, substitution: "/q/"}}}, {match: {prefix: /}, route: {cluster: a}}]}]`,
        hcm: 'use_remote_address: true\nvia: labvia\nadd_user_agent: true',
      }),
      httpListener('suppress', {
        routes: ROUTES,
        hcm: 'use_remote_address: true',
        router: 'suppress_envoy_headers: true',
      }),
      httpListener('internal', {
        routes: ROUTES,
        hcm: 'use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}',
      }),
      httpListener('keepid', {
        routes: ROUTES,
        hcm: 'preserve_external_request_id: true\nalways_set_request_id_in_response: true\nskip_xff_append: true\nuse_remote_address: true',
      }),
      httpListener('idonly', {
        routes: ROUTES,
        hcm: 'preserve_external_request_id: true\nalways_set_request_id_in_response: true\nskip_xff_append: true',
      }),
      httpListener('pass', {
        routes: ROUTES,
        hcm: 'server_header_transformation: PASS_THROUGH\nxff_num_trusted_hops: 1\ngenerate_request_id: false',
      }),
      httpListener('absent', {
        routes: ROUTES,
        domains: ['lab.test'],
        hcm: 'server_header_transformation: APPEND_IF_ABSENT\nserver_name: custom-name',
      }),
      httpListener('named', { routes: ROUTES, hcm: 'server_name: custom-name' }),
      httpListener('hops', { routes: ROUTES, hcm: 'use_remote_address: true\nxff_num_trusted_hops: 1' }),
      httpListener('scheme', { routes: ROUTES, hcm: 'scheme_header_transformation: {scheme_to_overwrite: https}' }),
      httpListener('xffdetect', {
        routes: ROUTES,
        hcm: 'original_ip_detection_extensions: [{name: xff, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig, xff_num_trusted_hops: 1, skip_xff_append: false}}]',
      }),
      httpListener('ports', {
        routes: ROUTES,
        hcm: 'use_remote_address: true\nappend_x_forwarded_port: true\nrepresent_ipv4_remote_address_as_ipv4_mapped_ipv6: false',
      }),
      httpListener('early', {
        routes: ROUTES,
        hcm: 'early_header_mutation_extensions: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation, mutations: [{append: {header: {key: x-early, value: "1"}}}, {remove: x-gone}]}}]',
      }),
    ],
    [cluster('a', 'a'), cluster('closed', 'nobody'), cluster('h2', 'h2', H2_UPSTREAM)],
  ),
  scenarios: [
    ...standard('plain', 'Without use_remote_address', 18080),
    ...standard('edge', 'use_remote_address, attempt counts, via, add_user_agent', 18082),
    ...standard('suppress', 'suppress_envoy_headers', 18087),
    ...standard('internal', 'Loopback is internal', 18088),
    ...standard('idonly', 'preserve_external_request_id, always_set_request_id_in_response', 18089),
    ...standard('pass', 'PASS_THROUGH, one trusted hop, no request id', 18091),
    scenario(
      'keep-request-id-edge',
      'preserve_external_request_id at the edge',
      get('/x', { listener: 'keepid', headers: ['x-request-id: mine', 'x-forwarded-for: 1.2.3.4'] }),
    ),
    scenario(
      'server-if-absent',
      'APPEND_IF_ABSENT keeps the server of the upstream',
      get('/x', { listener: 'absent', up: 'status:503' }),
      ['upstream status 503 + server header'],
    ),
    scenario(
      'server-if-absent-local',
      'APPEND_IF_ABSENT on a local reply',
      get('/x', { listener: 'absent', host: 'nomatch.test' }),
      ['local reply server header APPEND_IF_ABSENT'],
    ),
    scenario(
      'server-if-absent-none',
      'APPEND_IF_ABSENT and no server upstream',
      get('/x', { listener: 'absent', up: 'chunked' }),
      ['upstream without server header, APPEND_IF_ABSENT'],
    ),
    scenario('server-pass', 'PASS_THROUGH', get('/ok', { listener: 'pass' }), ['server header PASS_THROUGH']),
    scenario('server-pass-local', 'PASS_THROUGH on a local reply', get('/uf', { listener: 'pass' }), [
      'local reply PASS_THROUGH',
    ]),
    scenario(
      'server-pass-none',
      'PASS_THROUGH and no server upstream',
      get('/x', { listener: 'pass', up: 'chunked' }),
      ['upstream without server, PASS_THROUGH'],
    ),
    scenario('server-name', 'server_name', [get('/ok', { listener: 'named' }), get('/uf', { listener: 'named' })]),
    scenario('trusted-hops', 'use_remote_address with one trusted hop', [
      get('/x', { listener: 'hops', headers: ['x-forwarded-for: 1.1.1.1, 2.2.2.2'] }),
      get('/x', { listener: 'hops' }),
    ]),
    scenario('scheme-overwrite', 'scheme_to_overwrite', [
      get('/x', { listener: 'scheme' }),
      get('/h2', { listener: 'scheme' }),
    ]),
    scenario('forwarded-proto', 'x-forwarded-proto becomes :scheme', [
      get('/h2', { listener: 'plain', headers: ['x-forwarded-proto: https'] }),
      get('/h2', { listener: 'plain', headers: ['x-forwarded-proto: ftp'] }),
    ]),
    scenario('xff-extension', 'original_ip_detection_extensions', [
      get('/x', { listener: 'xffdetect', headers: ['x-forwarded-for: 1.1.1.1, 2.2.2.2'] }),
      get('/x', { listener: 'xffdetect' }),
    ]),
    scenario('forwarded-port', 'append_x_forwarded_port', [
      get('/x', { listener: 'ports' }),
      get('/x', { listener: 'ports', headers: ['x-forwarded-port: 77'] }),
    ]),
    scenario(
      'early-mutation',
      'early_header_mutation_extensions',
      get('/x', { listener: 'early', headers: ['x-gone: 1'] }),
    ),
    scenario(
      'request-id-uuid',
      'A request id that is a UUID is kept',
      get('/x', { listener: 'plain', headers: ['x-request-id: 11111111-1111-4111-8111-111111111111'] }),
    ),
    scenario(
      'trace-headers',
      'x-envoy-force-trace and x-client-trace-id inside',
      get('/x', { listener: 'internal', headers: ['x-envoy-force-trace: 1', 'x-client-trace-id: c'] }),
    ),
    scenario(
      'h2-downstream',
      'Headers over HTTP/2 in and HTTP/1.1 out',
      [h2('/x', { 'x-a': '1', cookie: 'a=1' }, 'edge'), h2('/x', { host: 'other' }, 'plain')],
      ['h2 uppercase? host+authority'],
    ),
    scenario(
      'health-check-fail-header',
      'x-envoy-immediate-health-check-fail passes',
      get('/x', { listener: 'plain', up: 'hdr:x-envoy-immediate-health-check-fail=1' }),
      ['x-envoy-immediate-health-check-fail from upstream'],
    ),
    scenario(
      'degraded-header',
      'x-envoy-degraded passes',
      get('/x', { listener: 'plain', up: 'hdr:x-envoy-degraded=1' }),
    ),
  ],
}

export default group

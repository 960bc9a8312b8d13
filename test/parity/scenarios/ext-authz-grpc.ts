import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { checkWord } from '../../harness/authz-wire.ts'
import {
  bootstrap,
  cluster,
  downstreamTls,
  fileLog,
  H2_UPSTREAM,
  httpListener,
  LOG_FORMAT,
  typed,
} from '../configs/builder.ts'
import { type Group, get, h2, type RequestOptions, type Step, scenario } from '../scenario.ts'

/** Requests that a gRPC authorization service is asked about; what it answers is in the request's `x-check`. */
const TYPE = 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz'
const PER_ROUTE = 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'
const NAME = 'envoy.filters.http.ext_authz'
const FORMAT = LOG_FORMAT.replace('type=', 'md=%DYNAMIC_METADATA(envoy.filters.http.ext_authz)% type=')
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const SERVICE =
  'grpc_service: {envoy_grpc: {cluster_name: auth}, timeout: 1s, initial_metadata: [{key: x-up, value: "%REQ(x-check)%"}]}'
const QUIET = 'disallowed_headers: {patterns: [{exact: x-check}, {exact: x-request-id}]}'
const perRoute = (body: string): string => `{${NAME}: {"@type": type.googleapis.com/${PER_ROUTE}, ${body}}}`
const ROUTES = '[{match: {prefix: /}, route: {cluster: a}}]'

const http = (
  name: string,
  body: string,
  more: { routes?: string; vhost?: string; before?: object[]; transport?: object; hcm?: string } = {},
) =>
  httpListener(name, {
    routes: more.routes ?? ROUTES,
    hcm: `${LOG}\n${more.hcm ?? ''}`,
    ...(more.vhost === undefined ? {} : { vhost: more.vhost }),
    ...(more.transport === undefined ? {} : { transport: more.transport as Record<string, unknown> }),
    filters: [
      ...((more.before ?? []) as Record<string, unknown>[]),
      typed(NAME, TYPE, `transport_api_version: V3\n${SERVICE}\n${body}`),
    ],
  })

type Response = envoy.service.auth.v3.CheckResponse
type Options = envoy.config.core.v3.HeaderValueOption
const OK: Response = { status: { code: 0 } }
const NO = { status: { code: 7 } } satisfies Response
const option = (key: string, value: string, append_action?: Options['append_action']): Options => ({
  header: { key, value },
  ...(append_action === undefined ? {} : { append_action }),
})
const old = (key: string, value: string, append: boolean): Options => ({ header: { key, value }, append })
const ask = (listener: string, path: string, response: Response | string, options: RequestOptions = {}): Step =>
  get(path, {
    listener,
    ...options,
    headers: [`x-check: ${typeof response === 'string' ? response : checkWord(response)}`, ...(options.headers ?? [])],
  })
const STATS = (name: string) => [`^http\\.${name}\\.ext_authz\\.`, '^cluster\\.a\\.(ext_authz|internal)']
const stats = (...names: readonly string[]) => ({ stats: names.flatMap(STATS) })
const TLS = downstreamTls(
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}], validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}',
)

const ACTIONS = [
  'APPEND_IF_EXISTS_OR_ADD',
  'ADD_IF_ABSENT',
  'OVERWRITE_IF_EXISTS_OR_ADD',
  'OVERWRITE_IF_EXISTS',
] as const

/** Headers that there may be once, and others. */
const ADDED = [
  ['user-agent', 'one'],
  ['user-agent', 'two'],
  ['vary', 'one'],
  ['vary', 'two'],
  ['server', 'added'],
  ['x-other', 'one'],
  ['x-other', 'two'],
].map(([key, value]) => option(key!, value!, 'APPEND_IF_EXISTS_OR_ADD'))

/** Headers that would end a field, or are none. */
const UNSENDABLE = [
  ['x-a', 'a\r\nx-split: b'],
  ['x-a', 'a\nx-split: b'],
  ['x-a', 'a\rb'],
  ['x-a', 'a\0b'],
  ['x-a: b\r\nx-split', 'c'],
  ['x a', 'b'],
  ['x:a', 'b'],
  [':status', '299'],
  [':path', '/elsewhere'],
] as const

const group: Group = {
  name: 'ext-authz-grpc',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' }, auth: { kind: 'h2' }, auth2: { kind: 'h2' } },
  config: bootstrap(
    [
      http('plain', QUIET),
      http(
        'rich',
        `
allowed_headers: {patterns: [{prefix: x-a}, {exact: ":path"}]}
include_tls_session: true
include_peer_certificate: true
bootstrap_metadata_labels_key: labels
route_metadata_context_namespaces: [app, none]
with_request_body: {max_request_bytes: 8, allow_partial_message: true}
`,
        {
          routes: `
- match: {prefix: /r}
  route: {cluster: a}
  metadata: {filter_metadata: {app: {tier: gold}, other: {x: y}}}
  typed_per_filter_config: ${perRoute('check_settings: {context_extensions: {route: r, both: route}}')}
- match: {prefix: /}
  route: {cluster: a}
`,
          vhost: `typed_per_filter_config: ${perRoute('check_settings: {context_extensions: {host: h, both: host}}')}`,
        },
      ),
      http('tls', `${QUIET}\ninclude_tls_session: true\ninclude_peer_certificate: true`, { transport: TLS }),
      http('bytes', `${QUIET}\nwith_request_body: {max_request_bytes: 100, pack_as_bytes: true}`),
      http('raw', `${QUIET}\nencode_raw_headers: true`),
      http('strict', `${QUIET}\nvalidate_mutations: true`),
      http('reroute', `${QUIET}\nclear_route_cache: true`, {
        routes: `
- match: {prefix: /, query_parameters: [{name: to, string_match: {exact: b}}]}
  route: {cluster: b}
- match: {prefix: /}
  route: {cluster: a}
`,
      }),
      http('allow', `${QUIET}\nfailure_mode_allow: true`),
      http('status', `${QUIET}\nstatus_on_error: {code: 503}`),
      http('other', QUIET, {
        routes: `
- match: {prefix: /}
  route: {cluster: a}
  typed_per_filter_config: ${perRoute(`check_settings: {${SERVICE.replace('name: auth', 'name: auth2')}}`)}
`,
      }),
    ],
    [
      cluster('a', 'a'),
      cluster('b', 'b'),
      cluster('auth', 'auth', H2_UPSTREAM),
      cluster('auth2', 'auth2', H2_UPSTREAM),
    ],
    'node: {id: parity, cluster: parity-cluster, metadata: {labels: {app: web, v: 1}}}',
  ),
  scenarios: [
    scenario(
      'request',
      'What the service is told of a request',
      [
        ask('plain', '/p?q=1#f', OK, { headers: ['x-envoy-downstream-service-cluster: me', 'x-a: 1', 'x-a: 2'] }),
        ask('plain', '/post', OK, { method: 'POST', body: 'hello' }),
        h2('/h2', { 'x-check': checkWord(OK) }, 'plain'),
      ],
      [],
      stats('plain'),
    ),
    scenario(
      'context',
      'Selected headers, labels, context extensions, metadata of the route, the beginning of the body',
      [
        ask('rich', '/r', OK, { headers: ['x-a: 1', 'x-ab: 2', 'x-b: 3'] }),
        ask('rich', '/x', OK, { method: 'POST', body: '0123456789' }),
        ask('rich', '/y', OK, { method: 'POST', body: 'abc\xff\xc3' }),
      ],
    ),
    scenario('tls', 'Who the client is by its certificate, and whom it asked for', [
      ask('tls', '/1', OK, { tls: { sni: 'lab.test', certificate: 'client' } }),
      ask('tls', '/2', OK, { tls: { sni: 'other.test' } }),
    ]),
    scenario('bytes', 'pack_as_bytes, encode_raw_headers', [
      ask('bytes', '/1', OK, { method: 'POST', body: 'abc' }),
      ask('raw', '/2', OK, { headers: ['x-a: 1', 'x-a: 2'] }),
    ]),
    scenario('ok-headers', 'How each append action changes a request that has the header, and one that has not', [
      ask(
        'plain',
        '/1',
        {
          ...OK,
          ok_response: {
            headers: [
              ...ACTIONS.map((action, i) => option(`x-${i}`, `new${i}`, action)),
              ...ACTIONS.map((action, i) => option(`y-${i}`, `new${i}`, action)),
              old('x-4', 'new4', true),
              old('x-5', 'new5', false),
              old('y-4', 'new4', true),
              old('y-5', 'new5', false),
              option('X-Upper', 'u'),
              option('twice', '1', 'OVERWRITE_IF_EXISTS_OR_ADD'),
              option('twice', '2', 'APPEND_IF_EXISTS_OR_ADD'),
            ],
            headers_to_remove: ['x-gone', 'Host', ':path', 'X-GONE-2'],
          },
        },
        {
          headers: ['x-0: old', 'x-1: old', 'x-2: old', 'x-3: old', 'x-4: old', 'x-5: old', 'x-gone: 1', 'x-gone-2: 2'],
        },
      ),
    ]),
    scenario('ok-response', 'And a response', [
      ask('plain', '/1', {
        ...OK,
        ok_response: {
          response_headers_to_add: [
            option('x-upstream', 'add', 'APPEND_IF_EXISTS_OR_ADD'),
            option('x-absent', 'absent', 'ADD_IF_ABSENT'),
            option('content-type', 'absent', 'ADD_IF_ABSENT'),
            option('x-set', 's', 'OVERWRITE_IF_EXISTS_OR_ADD'),
            option('date', 'never', 'OVERWRITE_IF_EXISTS'),
            option('x-none', 'never', 'OVERWRITE_IF_EXISTS'),
            old('x-old', '1', true),
            old('x-old', '2', true),
          ],
        },
      }),
    ]),
    scenario(
      'query',
      'Query parameters set and removed, sorted by name then',
      [
        ask('reroute', '/p?b=1&a=2&a=3&gone&c', {
          ...OK,
          ok_response: {
            query_parameters_to_set: [
              { key: 'to', value: 'b' },
              { key: 'a', value: '9' },
            ],
            query_parameters_to_remove: ['gone', 'none'],
          },
        }),
        ask('reroute', '/p?x', { ...OK, ok_response: { query_parameters_to_remove: ['x'] } }),
        ask('reroute', '/p', { ...OK, ok_response: { query_parameters_to_set: [{ key: 'k', value: 'v' }] } }),
      ],
      [],
      stats('reroute'),
    ),
    scenario(
      'denied',
      'A refusal has status, headers and body of the service, or 403',
      [
        ask('plain', '/1', NO),
        ask('plain', '/2', {
          ...NO,
          denied_response: {
            status: { code: 'Unauthorized' },
            body: 'who are you?',
            headers: [
              option('www-authenticate', 'Basic'),
              option('set-cookie', 'a'),
              option('set-cookie', 'b'),
              option('content-type', 'text/html', 'OVERWRITE_IF_EXISTS_OR_ADD'),
              old('x-old', '1', true),
              old('x-old', '2', false),
              option('x-twice', '1', 'OVERWRITE_IF_EXISTS_OR_ADD'),
              option('x-twice', '2', 'OVERWRITE_IF_EXISTS_OR_ADD'),
              option('x-if', '1', 'OVERWRITE_IF_EXISTS'),
              option('x-absent', '1', 'ADD_IF_ABSENT'),
            ],
          },
        }),
        ask('plain', '/3', { ...NO, denied_response: { headers: [option('x-why', 'b')] } }),
        ask('plain', '/4', { ...NO, ok_response: { headers: [option('x-why', 'b')] } }),
      ],
      [],
      stats('plain'),
    ),
    scenario(
      'metadata',
      'Dynamic metadata of either kind of answer',
      [
        ask('plain', '/1', { ...OK, dynamic_metadata: { user: 'joe', roles: ['a', 1, null, { b: true }] } }),
        ask('plain', '/2', { ...NO, dynamic_metadata: { why: 'no' } }),
        ask('plain', '/3', { ...OK, dynamic_metadata: { outer: 1 }, ok_response: { dynamic_metadata: { inner: 1 } } }),
      ],
      [],
      stats('plain'),
    ),
    scenario(
      'error',
      'A failed call, and an answer that says so',
      [
        ask('plain', '/1', 'check:,tonly:14:gone'),
        ask('plain', '/2', 'check:,hang'),
        ask('plain', '/3', 'check:,status:503,headersonly'),
        ask('status', '/4', 'check:,tonly:2'),
        ask('allow', '/5', 'check:,tonly:2'),
        ask('plain', '/6', {
          ...NO,
          error_response: { status: { code: 'BadGateway' }, body: 'broken', headers: [option('x-e', '1')] },
        }),
        ask('status', '/7', { ...NO, error_response: { body: 'broken' } }),
        ask('allow', '/8', { ...NO, error_response: { body: 'broken' } }),
      ],
      [],
      stats('plain', 'status', 'allow'),
    ),
    scenario(
      'validate',
      'validate_mutations: an answer that would break a message is refused with 500',
      [
        ask('strict', '/1', { ...OK, ok_response: { headers: [option('x-a', 'a\nb')] } }),
        ask('strict', '/2', { ...OK, ok_response: { headers: [option('x a', 'a')] } }),
        ask('strict', '/3', { ...NO, denied_response: { headers: [option('x a', 'a')] } }),
        ask('strict', '/4', { ...OK, ok_response: { query_parameters_to_set: [{ key: 'a', value: 'b c' }] } }),
        ask('strict', '/5', { ...OK, ok_response: { response_headers_to_add: [option('x a', 'a')] } }),
        ask('strict', '/6', { ...OK, ok_response: { headers: [option('x-a', 'a')], headers_to_remove: ['x b'] } }),
        ask('strict', '/7', {
          ...NO,
          error_response: { headers: [option('x a', 'a')], status: { code: 'BadGateway' } },
        }),
      ],
      [],
      stats('strict'),
    ),
    scenario('inline', 'What the service adds is joined where there may be one only', [
      ask('plain', '/1', { ...OK, ok_response: { headers: ADDED } }, { headers: ['user-agent: own', 'x-other: own'] }),
      ask('plain', '/2', { ...OK, ok_response: { headers: ADDED } }),
      ask(
        'plain',
        '/3',
        { ...OK, ok_response: { response_headers_to_add: ADDED } },
        { up: 'hdr:vary=own,hdr:x-other=own' },
      ),
      ask('plain', '/4', { ...NO, denied_response: { headers: ADDED } }),
    ]),
    scenario(
      'odd-status',
      'A refusal with a status that no refusal should have',
      [205, 299, 599, 600, 999].map(code =>
        ask('plain', `/${code}`, { ...NO, denied_response: { status: { code }, body: 'no' } }),
      ),
      [],
      stats('plain'),
    ),
    scenario(
      'unsendable-request',
      'A header that would split the request to the upstream',
      UNSENDABLE.flatMap(([key, value]) => [
        ask('plain', '/set', { ...OK, ok_response: { headers: [option(key, value, 'OVERWRITE_IF_EXISTS_OR_ADD')] } }),
        ask('plain', '/add', { ...OK, ok_response: { headers: [option(key, value, 'APPEND_IF_EXISTS_OR_ADD')] } }),
      ]),
      [],
      stats('plain'),
    ),
    scenario(
      'unsendable-query',
      'A parameter of the query that would split the request; the log of the real proxy has it as it came',
      UNSENDABLE.filter(([key]) => key !== 'x a').map(([key, value]) =>
        ask('plain', '/query', { ...OK, ok_response: { query_parameters_to_set: [{ key, value }] } }),
      ),
      [],
      { ...stats('plain'), log: false },
    ),
    scenario(
      'unsendable-response',
      'A header that would split the response to the client: the real proxy sends it',
      UNSENDABLE.flatMap(([key, value]) => [
        ask('plain', '/add', { ...OK, ok_response: { response_headers_to_add: [option(key, value)] } }),
        ask('plain', '/no', { ...NO, denied_response: { headers: [option(key, value)], body: 'no' } }),
        ask('plain', '/error', { ...NO, error_response: { headers: [option(key, value)], body: 'broken' } }),
      ]),
      [],
      stats('plain'),
    ),
    scenario('per-route', 'A route may have another service', ask('other', '/1', NO), [], stats('other')),
  ],
}

export default group

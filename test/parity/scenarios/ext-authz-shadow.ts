import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { checkWord } from '../../harness/authz-wire.ts'
import {
  bootstrap,
  cluster,
  fileLog,
  H2_UPSTREAM,
  httpListener,
  LOG_FORMAT,
  tcpListener,
  typed,
} from '../configs/builder.ts'
import { type Group, get, scenario, tcp } from '../scenario.ts'

/** ext_authz that only watches. The service obeys the same `x-up` header as the upstream. */
const TYPE = 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz'
const NETWORK = 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz'
const NAME = 'envoy.filters.http.ext_authz'
const STATE = (key: string): string =>
  `${key}: plain=%FILTER_STATE(${key}:PLAIN)% field=%FILTER_STATE(${key}:FIELD:check_result)%`
const FORMAT = LOG_FORMAT.replace(
  'type=',
  `md=%DYNAMIC_METADATA(${NAME})% ${STATE(`${NAME}.shadow`)} ${STATE('other.shadow')} type=`,
)
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
/** Objects print with sorted keys here, those of messages not in the real one: two keys that are sorted anyhow. */
const TYPED_LOG = `access_log: [${JSON.stringify(fileLog(`typed=%FILTER_STATE(${NAME}.shadow)%\n`))}]`
const TCP_LOG = [
  fileLog(
    `flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% term=%CONNECTION_TERMINATION_DETAILS% cluster=%UPSTREAM_CLUSTER% ${STATE('envoy.filters.network.ext_authz')}\n`,
  ),
]
const patterns = (...names: readonly string[]): string =>
  `{patterns: [${names.map(name => `{exact: ${name}}`).join(', ')}]}`
const service = (name = 'auth'): string =>
  `http_service: {server_uri: {uri: "http://auth.test", cluster: ${name}, timeout: 0.3s}, authorization_request: {allowed_headers: ${patterns('x-up')}}, authorization_response: {allowed_upstream_headers: ${patterns('x-set', 'x-to')}, allowed_client_headers: ${patterns('x-client')}, allowed_client_headers_on_success: ${patterns('x-success')}, dynamic_metadata_from_headers: ${patterns('x-md')}}}`
const http = (name: string, body: string, routes = '[{match: {prefix: /}, route: {cluster: a}}]', filter = NAME) =>
  httpListener(name, {
    routes,
    hcm: name === 'open' ? TYPED_LOG : LOG,
    filters: [typed(filter, TYPE, `transport_api_version: V3\n${body}`)],
  })
const ask = (listener: string, up: string) => get('/', { listener, up })
const stats = (name: string) => ({
  stats: [`^http\\.${name}\\.ext_authz\\.`, '^cluster\\.a\\.(ext_authz|upstream_rq_(403|4xx|completed)|internal)'],
  shuffledHeads: ['auth'],
})
const REROUTES = `
- match: {prefix: /, headers: [{name: x-to, string_match: {exact: b}}]}
  route: {cluster: b}
- match: {prefix: /}
  route: {cluster: a}
`
type Response = envoy.service.auth.v3.CheckResponse
const watching = (name: string, script: Response | string, statPrefix = name, more = '') => {
  const word = typeof script === 'string' ? script : checkWord(script)
  const grpc = `grpc_service: {envoy_grpc: {cluster_name: grpc_auth}, timeout: 2s, initial_metadata: [{key: x-up, value: "${word}"}]}`
  return tcpListener(name, `cluster: t\naccess_log: ${JSON.stringify(TCP_LOG)}`, '', [
    typed(
      'envoy.filters.network.ext_authz',
      NETWORK,
      `stat_prefix: ${statPrefix}\ntransport_api_version: V3\nshadow_mode: true\n${grpc}\n${more}`,
    ),
  ])
}
const hello = (listener: string) => tcp(listener, ['hello', { bytes: 5 }, { end: true }, { closed: true }])
/** What a refused call carried is not read as a check request: ports differ in it. */
const tcpStats = (name: string) => ({ stats: [`^ext_authz\\.${name}\\.`], logLines: 1, upstream: false })

const group: Group = {
  name: 'ext-authz-shadow',
  upstreams: {
    a: { kind: 'http1' },
    b: { kind: 'http1' },
    auth: { kind: 'http1' },
    t: { kind: 'tcp' },
    grpc_auth: { kind: 'h2' },
  },
  config: bootstrap(
    [
      http('shadow', `${service()}\nshadow_mode: true`),
      http('named', `${service()}\nshadow_mode: true\nstat_prefix: quiet`, undefined, 'other'),
      http('open', `${service()}\nshadow_mode: true\nfailure_mode_allow: true\nfailure_mode_allow_header_add: true`),
      http('dead', `${service('gone')}\nshadow_mode: true\nstatus_on_error: {code: 502}`),
      http(
        'off',
        `${service()}\nshadow_mode: true\nfilter_enabled: {default_value: {numerator: 0}}\ndeny_at_disable: {default_value: true, runtime_key: x}`,
      ),
      http('reroute', `${service()}\nclear_route_cache: true\nclear_route_cache_headers: [X-To]`, REROUTES),
      http('noreroute', `${service()}\nclear_route_cache: true\nclear_route_cache_headers: [x-other]`, REROUTES),
      watching('accepting', { status: { code: 0 } }),
      watching('refusing', { status: { code: 7 }, denied_response: { status: { code: 'Unauthorized' } } }),
      watching('failing', 'rst:2'),
      watching('opening', 'rst:2', 'opening', 'failure_mode_allow: true'),
    ],
    [
      cluster('a', 'a'),
      cluster('b', 'b'),
      cluster('auth', 'auth'),
      cluster('t', 't'),
      cluster('grpc_auth', 'grpc_auth', H2_UPSTREAM),
    ],
  ),
  scenarios: [
    scenario(
      'allowed',
      'What the service allows passes as ever; the decision is in the filter state',
      ask('shadow', 'hdr:x-set=1,hdr:x-success=yes,hdr:x-md=m'),
      [],
      stats('shadow'),
    ),
    scenario(
      'denied',
      'What it denies passes too, and is counted as denied',
      ask('shadow', 'status:403,hdr:x-client=1,hdr:x-md=m,body:2|ok'),
      [],
      stats('shadow'),
    ),
    scenario(
      'named',
      'The decision has the name of the filter',
      ask('named', 'status:401,hdr:x-client=1|ok'),
      [],
      stats('named'),
    ),
    scenario('error', 'A service that fails is counted', ask('shadow', 'status:500|ok'), [], stats('shadow')),
    scenario('open', 'Nothing tells of a failure that is allowed', ask('open', 'status:500|ok'), [], stats('open')),
    scenario('dead', 'A service that is not there', ask('dead', 'ok'), [], stats('dead')),
    scenario('off', 'deny_at_disable', ask('off', 'ok'), [], stats('off')),
    scenario(
      'route-cache-headers',
      'The route is chosen anew only for the headers that are named',
      [ask('reroute', 'hdr:x-to=b|ok'), ask('reroute', 'hdr:x-set=b|ok'), ask('noreroute', 'hdr:x-to=b|ok')],
      [],
      { shuffledHeads: ['auth'] },
    ),
    scenario('tcp-allowed', 'A connection that is allowed', hello('accepting'), [], tcpStats('accepting')),
    scenario('tcp-denied', 'One that is denied goes on', hello('refusing'), [], tcpStats('refusing')),
    scenario('tcp-error', 'One that nobody knows about', hello('failing'), [], tcpStats('failing')),
    scenario('tcp-open', 'The same when failures are allowed', hello('opening'), [], tcpStats('opening')),
  ],
}

export default group

import { limitWord } from '../../harness/authz-wire.ts'
import { bootstrap, cluster, fileLog, H2_UPSTREAM, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, scenario, tcp } from '../scenario.ts'

/** Rate limit filters switched by the runtime: under keys of the configuration, and under fixed ones where it names none. */
const HTTP = 'envoy.extensions.filters.http.ratelimit.v3.RateLimit'
const NETWORK = 'envoy.extensions.filters.network.ratelimit.v3.RateLimit'
const OVER = limitWord({ overall_code: 'OVER_LIMIT' })
const common = (answer = OVER) =>
  `domain: test\ntimeout: 0.5s\nrate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: limits}, initial_metadata: [{key: x-up, value: "${answer}"}]}}`
const generic = (value: string, more = '') => `{actions: [{generic_key: {descriptor_value: ${value}}}]${more}}`
const keyed = (key: string, numerator: number) => `{default_value: {numerator: ${numerator}}, runtime_key: ${key}}`
const http = (name: string, limits: string, body = '', answer = OVER) =>
  httpListener(name, {
    routes: `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${limits}]}}]`,
    filters: [typed('envoy.filters.http.ratelimit', HTTP, `${common(answer)}\n${body}`)],
  })
const connections = (name: string) =>
  tcpListener(name, `cluster: t\naccess_log: ${JSON.stringify([fileLog('flags=%RESPONSE_FLAGS%\n')])}`, '', [
    typed(
      'envoy.filters.network.ratelimit',
      NETWORK,
      `stat_prefix: ${name}\n${common()}\ndescriptors: [{entries: [{key: k, value: v}]}]`,
    ),
  ])

const group: Group = {
  name: 'limits-runtime',
  upstreams: { a: { kind: 'http1' }, t: { kind: 'tcp' }, limits: { kind: 'h2' } },
  config: bootstrap(
    [
      http('fixed', generic('one')),
      http('keyed', generic('one'), `filter_enforced: ${keyed('mine.enforced', 0)}`),
      http('enabled', generic('one'), `filter_enabled: ${keyed('mine.enabled', 100)}`),
      http(
        'disabled',
        `${generic('one', ', disable_key: some')}, ${generic('two', ', disable_key: another')}`,
        `filter_enforced: ${keyed('mine.enforced', 0)}`,
      ),
      http(
        'failing',
        generic('one'),
        `failure_mode_deny: true\nfailure_mode_deny_percent: ${keyed('mine.deny', 100)}`,
        'rst:2',
      ),
      connections('watched'),
    ],
    [cluster('a', 'a'), cluster('t', 't'), cluster('limits', 'limits', H2_UPSTREAM)],
    `
layered_runtime:
  layers:
  - name: static
    static_layer:
      ratelimit.http_filter_enforcing: 0
      ratelimit.some.http_filter_enabled: 0
      ratelimit.tcp_filter_enforcing: 0
      mine.enforced: 100
      mine.enabled: 0
      mine.deny: 0
`,
  ),
  scenarios: [
    scenario('http-enforcing', 'The key that stands for a missing filter_enforced', get('/', { listener: 'fixed' })),
    scenario('http-enforced', 'The key of filter_enforced', get('/', { listener: 'keyed' })),
    scenario('http-enabled', 'The key of filter_enabled', get('/', { listener: 'enabled' })),
    scenario('disable-key', 'A limit is switched off by its disable_key', get('/', { listener: 'disabled' })),
    scenario('deny-percent', 'The key of failure_mode_deny_percent', get('/', { listener: 'failing' }), [], {
      upstream: false,
    }),
    scenario(
      'tcp-enforcing',
      'Connections have a fixed key',
      tcp('watched', ['hello', { bytes: 5 }, { end: true }, { closed: true }]),
      [],
      { logLines: 1, stats: ['^ratelimit\\.watched\\.'] },
    ),
  ],
}

export default group

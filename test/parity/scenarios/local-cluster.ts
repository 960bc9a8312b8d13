import { bootstrap, cluster, httpListener, typed } from '../configs/builder.ts'
import { type Group, get, type Step, scenario } from '../scenario.ts'

/** local_cluster_rate_limit: the members of the proxy's own cluster share what a bucket has. */
const TYPE = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'
const ON = 'filter_enabled: {default_value: {numerator: 100}}\nfilter_enforced: {default_value: {numerator: 100}}'
const http = (name: string, body: string, routes = '[{match: {prefix: /}, route: {cluster: a}}]') =>
  httpListener(name, {
    routes,
    filters: [typed('limit', TYPE, `stat_prefix: ${name}\nlocal_cluster_rate_limit: {}\n${ON}\n${body}`)],
  })
const times = (n: number, listener: string): Step[] => Array.from({ length: n }, () => get('/', { listener }))
const generic = (more = '') => `{actions: [{generic_key: {descriptor_value: one}}]${more}}`

const group: Group = {
  name: 'local-cluster',
  upstreams: { a: { kind: 'http1' } },
  config: bootstrap(
    [
      http(
        'shared',
        'token_bucket: {max_tokens: 7, tokens_per_fill: 1, fill_interval: 7200s}\nenable_x_ratelimit_headers: DRAFT_VERSION_03',
      ),
      http(
        'described',
        'token_bucket: {max_tokens: 100, tokens_per_fill: 1, fill_interval: 7200s}\ndescriptors: [{entries: [{key: generic_key, value: one}], token_bucket: {max_tokens: 12, tokens_per_fill: 1, fill_interval: 7200s}}]\nenable_x_ratelimit_headers: DRAFT_VERSION_03',
        `[{match: {prefix: /}, route: {cluster: a, rate_limits: [${generic(', hits_addend: {number: 2}')}]}}]`,
      ),
      http(
        'own',
        `descriptors: [{entries: [{key: generic_key, value: one}], token_bucket: {max_tokens: 13, tokens_per_fill: 1, fill_interval: 7200s}}]\ntoken_bucket: {max_tokens: 100, tokens_per_fill: 1, fill_interval: 7200s}\nenable_x_ratelimit_headers: DRAFT_VERSION_03\nrate_limits: [${generic(', hits_addend: {number: 2}')}]`,
      ),
    ],
    [cluster('a', 'a'), cluster('here', ['one', 'two', 'three'])],
    'cluster_manager: {local_cluster_name: here}',
  ),
  scenarios: [
    scenario('bucket', 'Each request costs as many tokens as there are members', times(4, 'shared'), [], {
      stats: ['^shared\\.http_local_rate_limit'],
    }),
    scenario('hits', 'For each of its hits', times(3, 'own'), [], { stats: ['^own\\.http_local_rate_limit'] }),
    scenario('descriptor', 'So it does with descriptors; hits of routes do not count', times(3, 'described'), [], {
      stats: ['^described\\.http_local_rate_limit'],
    }),
  ],
}

export default group

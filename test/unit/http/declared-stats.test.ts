import t from 'tap'
import { TokenBuckets, tokenBucketMemory } from '../../../src/base/token-bucket.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { type ExtensionFactory, findFactory, registeredFactories } from '../../../src/config/registry.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { NamingScope, StatNames } from '../../../src/stats/naming-scope.ts'
import { FakeServices } from './fakes.ts'

registerExtensions()

const ANY = 'type.googleapis.com/'
const service = { envoy_grpc: { cluster_name: 'x' } }
const bucket = { max_tokens: 1, tokens_per_fill: 1, fill_interval: 1000 }
const library = {
  name: 'text',
  typed_config: { type_url: `${ANY}envoy.extensions.compression.gzip.compressor.v3.Gzip`, message: {} },
}
const RATE_LIMIT = {
  stat_prefix: 'n',
  domain: 'd',
  descriptors: [{ entries: [{ key: 'k', value: 'v' }] }],
  rate_limit_service: { grpc_service: service, transport_api_version: 'V3' },
}
const HTTP = 'envoy.filters.http'
const NETWORK = 'envoy.filters.network'

/** Category, type, configuration, one of the names. */
const FILTERS: readonly (readonly [string, string, object, string])[] = [
  [HTTP, 'rbac.v3.RBAC', { rules_stat_prefix: 'r_', shadow_rules_stat_prefix: 's_' }, 'http.p.rbac.r_.allowed'],
  [HTTP, 'ext_authz.v3.ExtAuthz', { grpc_service: service, stat_prefix: 'a' }, 'http.p.ext_authz.a.denied'],
  [HTTP, 'jwt_authn.v3.JwtAuthentication', {}, 'http.p.jwt_authn.allowed'],
  [HTTP, 'local_ratelimit.v3.LocalRateLimit', { stat_prefix: 'l', token_bucket: bucket }, 'l.http_local_rate_limit.ok'],
  [HTTP, 'compressor.v3.Compressor', { compressor_library: library }, 'http.p.compressor.text.gzip.request.compressed'],
  [HTTP, 'cors.v3.Cors', {}, 'http.p.cors.origin_valid'],
  [HTTP, 'fault.v3.HTTPFault', {}, 'http.p.fault.active_faults'],
  [NETWORK, 'rbac.v3.RBAC', { stat_prefix: 'n.' }, 'n.rbac.shadow_denied'],
  [NETWORK, 'ext_authz.v3.ExtAuthz', { stat_prefix: 'n', grpc_service: service }, 'ext_authz.n.active'],
  [
    NETWORK,
    'local_ratelimit.v3.LocalRateLimit',
    { stat_prefix: 'n', token_bucket: bucket },
    'local_rate_limit.n.rate_limited',
  ],
  [NETWORK, 'ratelimit.v3.RateLimit', RATE_LIMIT, 'ratelimit.n.over_limit'],
]

const all = (names: StatNames) => [names.counters, names.gauges, names.histograms].map(set => [...set].sort())

for (const [category, type, proto, one] of FILTERS) {
  t.test(`main names the stats that a worker will make: ${category} ${type}`, async t => {
    const folder = category === HTTP ? 'http' : 'network'
    const url = `envoy.extensions.filters.${folder}.${type}`
    const factory = findFactory(category, url) as unknown as ExtensionFactory<object, unknown>
    const config = factory.parse(proto, FieldPath.root(), [])
    const declared = new StatNames()
    factory.declareStats!(config, new NamingScope(declared), 'http.p.')
    const made = new StatNames()
    factory.create(config, {
      ...new FakeServices(),
      stats: new NamingScope(made),
      httpPrefix: 'http.p.',
      tokenBuckets: new TokenBuckets(tokenBucketMemory(0)),
      callOuts: { grpc: () => null },
      node: { metadata: {} },
    } as never)
    t.strictSame(all(declared), all(made))
    t.ok(all(declared).flat().includes(one))
  })
}

/** Filters whose stats are declared by templates of src/server/stat-names.ts, or that have none before something happens. */
const OTHERS: readonly string[] = [
  'envoy.filters.http.grpc_stats',
  'envoy.filters.http.istio_stats',
  'envoy.filters.http.peer_metadata',
  'envoy.filters.http.ratelimit',
  'envoy.filters.http.router',
  'envoy.filters.http.set_filter_state',
  'envoy.filters.network.connection_limit',
  'envoy.filters.network.direct_response',
  'envoy.filters.network.echo',
  'envoy.filters.network.http_connection_manager',
  'envoy.filters.network.istio_stats',
  'envoy.filters.network.metadata_exchange',
  'envoy.filters.network.peer_metadata',
  'envoy.filters.network.set_filter_state',
  'envoy.filters.network.tcp_proxy',
  'istio.alpn',
]

t.test('a filter says which stats it makes, or is known to have none', async t => {
  const silent = registeredFactories().filter(f => [HTTP, NETWORK].includes(f.category) && f.declareStats === undefined)
  t.strictSame(silent.map(f => f.name).sort(), OTHERS)
})

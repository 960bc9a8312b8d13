import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { endpoint, parse, staticCluster, warnings } from './fakes.ts'

type Proto = envoy.config.cluster.v3.Cluster
const host = [endpoint('127.0.0.1', 80)]
const HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const http = (message: object) => ({ typed_extension_protocol_options: { [HTTP]: { type_url: HTTP, message } } })
const check = { timeout: 1000, interval: 1000, unhealthy_threshold: 1, healthy_threshold: 1 }
const policy = (type: string, message: object = {}) => ({
  load_balancing_policy: {
    policies: [
      {
        typed_extension_config: {
          name: 'x',
          typed_config: { type_url: `type.googleapis.com/envoy.extensions.load_balancing_policies.${type}`, message },
        },
      },
    ],
  },
})
const socket = (address: string, extra: object = {}) => [
  { endpoint: { address: { socket_address: { address, port_value: 80, ...extra } } } },
]
const none = { load_assignment: undefined }

/** Texts of Envoy 1.40 in validate mode. */
const rejected: [string, Partial<Proto>, string][] = [
  ['EDS without a source', { type: 'EDS', ...none }, 'cannot create an EDS cluster without an EDS config'],
  [
    'ORIGINAL_DST with hosts',
    { type: 'ORIGINAL_DST', lb_policy: 'CLUSTER_PROVIDED' },
    'ORIGINAL_DST clusters must have no load assignment configured',
  ],
  [
    'ORIGINAL_DST with another policy',
    { type: 'ORIGINAL_DST', ...none },
    "cluster: LB policy ROUND_ROBIN is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'",
  ],
  [
    'CLUSTER_PROVIDED elsewhere',
    { lb_policy: 'CLUSTER_PROVIDED' },
    "cluster manager: cluster provided LB specified but cluster 'c' did not provide one. Check cluster documentation.",
  ],
  ['LOGICAL_DNS without a host', { type: 'LOGICAL_DNS', ...none }, 'LOGICAL_DNS clusters must have a single host'],
  [
    'LOGICAL_DNS with two',
    { type: 'LOGICAL_DNS', load_assignment: { endpoints: [{ lb_endpoints: [...socket('a.b'), ...socket('c.d')] }] } },
    'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint',
  ],
  [
    'STATIC with a name',
    { load_assignment: { endpoints: [{ lb_endpoints: socket('localhost') }] } },
    "malformed IP address: localhost. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'",
  ],
  [
    'STATIC with a resolver',
    { load_assignment: { endpoints: [{ lb_endpoints: socket('1.2.3.4', { resolver_name: 'x' }) }] } },
    "Unknown address resolver: x. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'",
  ],
  [
    'STRICT_DNS with a resolver',
    { type: 'STRICT_DNS', load_assignment: { endpoints: [{ lb_endpoints: socket('a', { resolver_name: 'x' }) }] } },
    'STRICT_DNS clusters must NOT have a custom resolver name set',
  ],
  [
    'policy not given',
    { lb_policy: 'LOAD_BALANCING_POLICY_CONFIG' },
    'cluster: field load_balancing_policy need to be set',
  ],
  [
    'no policy known',
    { load_balancing_policy: {} },
    "cluster: didn't find a registered load balancer factory implementation for cluster: 'c' with names from []",
  ],
  [
    'two places for locality settings',
    { ...policy('round_robin.v3.RoundRobin'), common_lb_config: { locality_weighted_lb_config: {} } },
    'cluster: load_balancing_policy cannot be combined with partial fields (zone_aware_lb_config, locality_weighted_lb_config, consistent_hashing_lb_config) of common_lb_config',
  ],
  [
    'ring sizes',
    { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 100, maximum_ring_size: 10 } },
    'ring hash: minimum_ring_size (100) > maximum_ring_size (10)',
  ],
  [
    'maglev size',
    { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 65536 } },
    'The table size of maglev must be prime number',
  ],
  [
    'hashing by name of a static cluster',
    { lb_policy: 'MAGLEV', common_lb_config: { consistent_hashing_lb_config: { use_hostname_for_hashing: true } } },
    "Cannot use hostname for consistent hashing loadbalancing for cluster of type: 'envoy.cluster.static'",
  ],
  [
    'HTTP/3',
    http({ explicit_http_config: { http3_protocol_options: {} } }),
    'HTTP3 requires a QuicUpstreamTransport transport socket: c',
  ],
  [
    'ALPN without TLS',
    http({ auto_config: {} }),
    'ALPN configured for cluster c which has a non-ALPN transport socket:',
  ],
  [
    'unknown protocol options',
    { typed_extension_protocol_options: { x: { type_url: HTTP, message: {} } } },
    "Didn't find a registered network or http filter or protocol options implementation for name: 'x'",
  ],
  [
    'nameless health checks',
    {
      health_checks: [
        { ...check, tcp_health_check: {} },
        { ...check, tcp_health_check: {} },
      ],
    },
    'health check at index 0 is missing a name; all health checks must have a name when multiple health checks are configured',
  ],
  [
    'gRPC checks over HTTP/1',
    { health_checks: [{ ...check, grpc_health_check: {} }] },
    'c cluster must support HTTP/2 for gRPC healthchecking',
  ],
  [
    'hex payload',
    { health_checks: [{ ...check, tcp_health_check: { send: { text: 'zz' } } }] },
    "invalid hex string 'zz'",
  ],
  [
    'status range',
    { health_checks: [{ ...check, http_health_check: { path: '/', expected_statuses: [{ start: 300, end: 300 }] } }] },
    'Invalid http expected status range: expecting start < end, but found start=300 and end=300',
  ],
  [
    'retriable range',
    { health_checks: [{ ...check, http_health_check: { path: '/', retriable_statuses: [{ start: 400, end: 700 }] } }] },
    'Invalid http retriable status range: expecting end <= 600, but found end=700',
  ],
  [
    'ejection times',
    { outlier_detection: { base_ejection_time: 30000, max_ejection_time: 10000 } },
    "outlier detector's max_ejection_time cannot be smaller than base_ejection_time",
  ],
  [
    'per host thresholds',
    { circuit_breakers: { per_host_thresholds: [{ max_connections: 1, max_requests: 3 }] } },
    'Unsupported field in per_host_thresholds',
  ],
  [
    'drop ratio',
    {
      load_assignment: {
        endpoints: [],
        policy: { drop_overloads: [{ category: 'x', drop_percentage: { numerator: 200 } }] },
      },
    },
    'Cluster drop_overloads config is invalid. drop_ratio=2(Numerator 200 / Denominator 100). The valid range is 0~1.',
  ],
  [
    'two drop categories',
    { load_assignment: { endpoints: [], policy: { drop_overloads: [{ category: 'x' }, { category: 'y' }] } } },
    'Cluster drop_overloads config has 2 categories. Envoy only support one.',
  ],
  [
    'DNS back-off',
    {
      type: 'STRICT_DNS',
      load_assignment: { endpoints: [{ lb_endpoints: socket('a.b') }] },
      dns_failure_refresh_rate: { base_interval: 5000, max_interval: 1000 },
    },
    'dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval',
  ],
  [
    'socket without a type',
    { transport_socket: { name: 'x' } },
    "Didn't find a registered implementation for 'x' with type URL: ''",
  ],
  [
    'source addresses of one family',
    {
      upstream_bind_config: {
        source_address: { address: '127.0.0.1', port_value: 0 },
        extra_source_addresses: [{ address: { address: '127.0.0.2', port_value: 0 } }],
      },
    },
    "Cluster c's upstream binding config has two same IP version source addresses. Only two different IP version source addresses can be supported in BindConfig's source_address and extra_source_addresses/additional_source_addresses fields",
  ],
  ['bad source', { upstream_bind_config: { source_address: { address: 'foo' } } }, 'malformed IP address: foo'],
  // What Remora does not do and must not ignore.
  ['subsets', { lb_subset_config: { subset_selectors: [{ keys: ['a'] }] } }, 'lb_subset_config is not supported'],
]

for (const [name, extra, text] of rejected) {
  t.test(`rejected: ${name}`, async t => {
    try {
      parse(staticCluster(host, extra))
      t.fail('accepted')
    } catch (error) {
      t.ok(error instanceof ConfigError)
      t.equal((error as ConfigError).envoyText, text)
    }
  })
}

t.test("defaults are Envoy's", async t => {
  const c = parse({ name: 'a:b', type: 'STATIC' })
  t.equal(c.statsName, 'a_b')
  t.equal(c.connectTimeout, 5000)
  t.equal(c.perConnectionBufferLimit, 1048576)
  t.equal(c.http.protocol, 'http1')
  t.equal(c.http.idleTimeout, 3600000)
  t.equal(c.lb.healthyPanicThreshold, 50)
  t.same(c.circuitBreakers[0].max, [1024, 1024, 1024, 3, 2 ** 64])
  t.same(c.lb.policy, { kind: 'round_robin', slowStart: null })
  t.equal(c.outlierDetection, null)
})

t.test('tcp_keepalive: what is absent is the system’s, and a 0 in any field switches it off', async t => {
  const keepalive = (tcp_keepalive: object) =>
    parse(staticCluster(host, { upstream_connection_options: { tcp_keepalive } })).tcpKeepalive
  t.equal(parse(staticCluster(host)).tcpKeepalive, null)
  t.same(keepalive({}), { probes: null, time: null, interval: null })
  t.same(keepalive({ keepalive_probes: 3 }), { probes: 3, time: null, interval: null })
  t.same(keepalive({ keepalive_time: 7, keepalive_interval: 5 }), { probes: null, time: 7, interval: 5 })
  for (const field of ['keepalive_probes', 'keepalive_time', 'keepalive_interval'])
    t.equal(keepalive({ keepalive_probes: 1, keepalive_time: 1, keepalive_interval: 1, [field]: 0 }), null, field)
})

t.test('the extension wins over the legacy protocol fields', async t => {
  const c = parse(
    staticCluster(host, {
      ...http({ explicit_http_config: { http_protocol_options: {} } }),
      http2_protocol_options: {},
    }),
  )
  t.equal(c.http.protocol, 'http1')
})

t.test('envoy.clusters.dns is STRICT_DNS or LOGICAL_DNS', async t => {
  const dns = (all: boolean, more: object = {}): Partial<Proto> => ({
    type: undefined,
    cluster_type: {
      typed_config: {
        type_url: 'type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster',
        message: { dns_refresh_rate: 7000, all_addresses_in_single_endpoint: all, ...more },
      },
    },
    load_assignment: { endpoints: [{ lb_endpoints: socket('a.b') }] },
  })
  const c = parse(staticCluster(host, dns(false)))
  t.equal(c.type, 'STRICT_DNS')
  t.equal(c.dns!.refreshRate, 7000)
  t.equal(parse(staticCluster(host, dns(true))).type, 'LOGICAL_DNS')
  t.same(warnings, [])
  parse(staticCluster(host, dns(false, { dns_min_refresh_rate: 3000 })))
  t.same(warnings, ["cluster 'c': dns_min_refresh_rate is not acted on"])
})

t.test('what is accepted and not acted on is warned about', async t => {
  parse(staticCluster(host, { lrs_server: {} }))
  t.same(warnings, ["cluster 'c': lrs_server is not acted on"])
})

t.test('the result survives structuredClone', async t => {
  const c = parse(
    staticCluster(host, { health_checks: [{ ...check, http_health_check: { path: '/' } }], outlier_detection: {} }),
  )
  t.same(structuredClone(c), c)
})

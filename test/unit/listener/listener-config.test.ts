import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { registerFactories } from '../../../src/config/registry.ts'
import { originalDstFactory } from '../../../src/listener/filters/original-dst.ts'
import { tlsInspectorFactory } from '../../../src/listener/filters/tls-inspector.ts'
import { portMatches } from '../../../src/listener/listener-config.ts'
import { parseListener } from '../../../src/listener/parse-listener.ts'
import { echoFactory } from '../../../src/network/filters/echo.ts'
import { tcpProxyFactory } from '../../../src/network/filters/tcp-proxy.ts'

registerFactories([echoFactory, tcpProxyFactory, originalDstFactory, tlsInspectorFactory] as unknown as Parameters<
  typeof registerFactories
>[0])

type Proto = envoy.config.listener.v3.Listener

const any = (type: string, message: object = {}) => ({ type_url: `type.googleapis.com/${type}`, message })
const ECHO = { name: 'e', typed_config: any('envoy.extensions.filters.network.echo.v3.Echo') }
const TCP = {
  name: 't',
  typed_config: any('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'p', cluster: 'c' }),
}
const ADDRESS = { socket_address: { address: '127.0.0.1', port_value: 18280 } }
const BASE: Proto = { name: 'l', address: ADDRESS, filter_chains: [{ filters: [ECHO] }] }

const parse = (proto: Proto) => parseListener(proto, FieldPath.root(), [])
/** tap compares the members of the pattern. */
const says = (envoyText: string | RegExp): Error => ({ envoyText }) as unknown as Error

t.test('defaults, and a cloneable result', async t => {
  const c = parse(BASE)
  t.match(structuredClone(c), {
    name: 'l',
    statAddress: '127.0.0.1_18280',
    bindToPort: true,
    reusePort: true,
    useOriginalDst: false,
    bufferLimit: 1048576,
    listenerFiltersTimeout: 15000,
    continueOnTimeout: false,
    trafficDirection: 'UNSPECIFIED',
    defaultFilterChain: null,
  })
  t.equal(c.addresses[0]!.address.text, '127.0.0.1:18280')
  t.equal(parse({ ...BASE, stat_prefix: 'x' }).statAddress, 'x')
  t.equal(parse({ ...BASE, deprecated_v1: { bind_to_port: false } }).bindToPort, false)
  t.equal(parse({ ...BASE, address: { pipe: { path: '@x', mode: 0o600 } } }).addresses[0]!.mode, 0o600)
})

t.test('use_original_dst brings its listener filter along', async t => {
  const types = (proto: Proto): string[] => parse(proto).listenerFilters.map(f => f.typeUrl)
  const own = { name: 'o', typed_config: any('envoy.extensions.filters.listener.original_dst.v3.OriginalDst') }
  t.equal(types({ ...BASE, use_original_dst: true }).length, 1)
  t.equal(types({ ...BASE, use_original_dst: true, listener_filters: [own] }).length, 1)
})

t.test('filter_disabled', async t => {
  const inspector = {
    name: 'i',
    typed_config: any('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'),
    filter_disabled: {
      or_match: {
        rules: [
          { destination_port_range: { start: 80, end: 81 } },
          { not_match: { destination_port_range: { start: 0, end: 1000 } } },
        ],
      },
    },
  }
  const predicate = parse({ ...BASE, listener_filters: [inspector] }).listenerFilters[0]!.disabled!
  t.ok(portMatches(predicate, 80))
  t.notOk(portMatches(predicate, 81))
  t.ok(portMatches(predicate, 1000))
})

t.test('server names and ranges are normalised', async t => {
  const filter_chain_match = {
    server_names: ['*.Example.com', 'a.b'],
    prefix_ranges: [{ address_prefix: '10.0.0.0', prefix_len: 64 }],
    source_type: 'EXTERNAL' as const,
  }
  const { match } = parse({ ...BASE, filter_chains: [{ filters: [ECHO], filter_chain_match }] }).filterChains[0]!
  t.same(match.serverNames, ['.example.com', 'a.b'])
  t.same(match.prefixRanges, ['10.0.0.0/32'])
  t.equal(match.sourceType, 'EXTERNAL')
})

t.test("what Envoy refuses is refused in Envoy's words", async t => {
  const { address: _, ...withoutAddress } = BASE
  t.throws(() => parse(withoutAddress), says("error adding listener named 'l': address is necessary"))
  t.throws(
    () => parse({ ...BASE, address: { socket_address: { address: 'localhost', port_value: 1 } } }),
    says('malformed IP address: localhost'),
  )
  t.throws(
    () => parse({ ...BASE, filter_chains: [] }),
    says("error adding listener '127.0.0.1:18280': no filter chains specified"),
  )
  t.throws(
    () => parse({ ...BASE, filter_chains: [{ filters: [ECHO] }, { filters: [ECHO] }] }),
    says(
      "error adding listener '127.0.0.1:18280': filter chain '' has the same matching rules defined as ''. duplicate matcher is: {}",
    ),
  )
  const named = (...server_names: string[]) => ({ filters: [ECHO], filter_chain_match: { server_names } })
  t.throws(
    () => parse({ ...BASE, filter_chains: [named('a', 'b'), named('b', 'c')] }),
    says("error adding listener '127.0.0.1:18280': multiple filter chains with overlapping matching rules are defined"),
  )
  t.throws(() => parse({ ...BASE, filter_chains: [named('a.*.b')] }), says(/partial wildcards are not supported/))
  t.throws(
    () => parse({ ...BASE, filter_chains: [{ filters: [TCP, ECHO] }] }),
    says(
      'Error: terminal filter named t of type envoy.filters.network.tcp_proxy must be the last filter in a network filter chain.',
    ),
  )
  t.throws(
    () => parse({ ...BASE, filter_chains: [{ filter_chain_match: { address_suffix: 'x' } }] }),
    says(/unimplemented/),
  )
})

t.test('what Remora lacks is refused, not ignored', async t => {
  for (const extra of [
    { udp_listener_config: {} },
    { enable_mptcp: true },
    { connection_balance_config: { extend_balance: { name: 'dlb' } } },
  ]) {
    t.throws(() => parse({ ...BASE, ...extra }), { code: 'CONFIG_UNSUPPORTED' })
  }
})

t.test('connection_balance_config: exact_balance, and nothing in it is an error', async t => {
  t.equal(parse(BASE).exactBalance, false)
  t.equal(parse({ ...BASE, connection_balance_config: { exact_balance: {} } }).exactBalance, true)
  t.throws(
    () => parse({ ...BASE, connection_balance_config: {} }),
    says('No valid balance type for connection balance'),
  )
})

t.test('tcp_proxy: defaults and refusals', async t => {
  const config = (proto: object) => tcpProxyFactory.parse(proto, FieldPath.root(), [])
  t.match(structuredClone(config({ stat_prefix: 'p', cluster: 'c' })), {
    idleTimeout: 3_600_000,
    maxConnectAttempts: 1,
  })
  t.equal(config({ cluster: 'c', idle_timeout: 0 }).idleTimeout, 0)
  t.same(
    config({
      weighted_clusters: { clusters: [{ name: 'a', weight: 2, metadata_match: { filter_metadata: { x: { b: 1 } } } }] },
      metadata_match: { filter_metadata: { y: { a: 1 } } },
    }).clusters,
    [{ name: 'a', weight: 2, metadataMatch: { x: { b: 1 }, y: { a: 1 } } }],
  )
  t.throws(() => config({ stat_prefix: 'p' }), says(/cluster_specifier/))
  const tunnel = (tunneling_config: object) => config({ cluster: 'c', tunneling_config })
  t.match(tunnel({ hostname: 'h:1' }).tunnel, { hostname: 'h:1', usePost: false, propagateResponseHeaders: false })
  t.match(tunnel({ hostname: 'h:1', use_post: true }).tunnel, { usePost: true, postPath: '/' })
  t.throws(
    () => tunnel({ hostname: 'h:1', post_path: '/x' }),
    says("Can't set a post path when POST method isn't used"),
  )
  t.throws(() => tunnel({ hostname: '%NOPE%' }), says('Not supported field in StreamInfo: NOPE'))
  t.throws(
    () => tunnel({ hostname: 'h:1', headers_to_add: [{ header: { key: ':path', value: 'x' } }] }),
    says(':-prefixed or host headers may not be modified'),
  )
  t.throws(() => config({ cluster: 'c', on_demand: {} }), { code: 'CONFIG_UNSUPPORTED' })
})

t.test('an internal listener has a name for an address, and nothing of TCP', async t => {
  const { address: _, ...proto } = { ...BASE, name: 'inner', internal_listener: {} }
  const c = parse(proto)
  t.match(c, { internal: true, bindToPort: false, statAddress: 'envoy_internal_inner', ignoreGlobalLimit: true })
  t.equal(c.addresses[0]!.address.text, 'envoy://inner/')
  t.equal(parse({ ...proto, stat_prefix: 'x' }).statAddress, 'x')
  t.throws(
    () => parse({ ...proto, address: ADDRESS }),
    says("error adding listener 'inner': address should not be used when an internal listener config is provided"),
  )
  t.throws(
    () => parse({ ...proto, additional_addresses: [{ address: ADDRESS }] }),
    says("error adding listener 'inner': address should not be used when an internal listener config is provided"),
  )
  for (const feature of [
    { freebind: false },
    { transparent: true },
    { enable_reuse_port: true },
    { tcp_backlog_size: 3 },
    { tcp_fast_open_queue_length: 3 },
    { connection_balance_config: { exact_balance: {} } },
  ]) {
    t.throws(
      () => parse({ ...proto, ...feature }),
      says("error adding listener named 'inner': has unsupported tcp listener feature"),
    )
  }
  t.throws(
    () => parse({ ...proto, socket_options: [{ level: 1, name: 2, int_value: 3 }] }),
    says("error adding listener named 'inner': does not support socket option"),
  )
  t.throws(
    () => parse({ ...BASE, name: 'x', address: { envoy_internal_address: { server_listener_name: 'x' } } }),
    says("error adding listener named 'x': use internal_listener field instead of address for internal listeners"),
  )
})

t.test('filter_chain_matcher: chains are known by name, and the tree is checked', async t => {
  const typed = (type: string, message: object = {}) => ({ name: 'x', typed_config: any(type, message) })
  const on = { action: typed('google.protobuf.StringValue', { value: 'one' }) }
  const input = typed('envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput')
  const tree = (more: object) => ({ matcher_tree: { input, exact_match_map: { map: { '80': on } }, ...more } })
  const chains = [{ ...BASE.filter_chains![0]!, name: 'one' }]
  const listener = (filter_chain_matcher: object, filter_chains: object[] = chains) =>
    parse({ ...BASE, filter_chains, filter_chain_matcher } as Proto)
  t.match(listener(tree({})).chainMatcher, {
    rule: { kind: 'exact', input: { kind: 'destination_port' }, map: [['80', { action: 'one' }]] },
    otherwise: null,
  })
  t.throws(
    () => listener(tree({}), [{ ...chains[0], name: '' }]),
    says('error adding listener \'127.0.0.1:18280\': "name" field is required when using a listener matcher'),
  )
  t.throws(
    () => listener(tree({}), [...chains, ...chains]),
    says("error adding listener '127.0.0.1:18280': \"name\" field is duplicated with value 'one'"),
  )
  t.throws(
    () => listener(tree({ input: typed('a.B') })),
    says("Didn't find a registered implementation for 'x' with type URL: 'a.B'"),
  )
  t.throws(
    () => listener({ on_no_match: { action: typed('google.protobuf.UInt32Value') } }),
    says(/cannot create a filter chain matcher: Didn't find .* 'google.protobuf.UInt32Value'/),
  )
  t.throws(() => listener({ on_no_match: { ...on, keep_matching: true } }), { code: 'CONFIG_UNSUPPORTED' })
  let deep: object = tree({})
  for (let i = 0; i < 40; i++) deep = { on_no_match: { matcher: deep } }
  t.throws(() => listener(deep), says(/nested more than 32 deep/))
})

import { writeFileSync } from 'node:fs'
import t from 'tap'
import { readConfiguration } from '../../../../bench/compare/configuration.ts'
import { type JsonObject, parseConfiguration } from '../../../../bench/compare/json.ts'
import type { Places } from '../../../../bench/compare/places.ts'
import { readResourceSet } from '../../../../bench/compare/resources.ts'
import { rewrite } from '../../../../bench/compare/rewrite.ts'

const CONFIG = 'type.googleapis.com/envoy.config'
const TYPE = 'type.googleapis.com/envoy.extensions'
const HCM = `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`
const ads = '{ads: {}, resource_api_version: V3}'
const BOOTSTRAP = `
dynamic_resources:
  ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  lds_config: ${ads}
static_resources:
  clusters:
  - name: xds
    alt_stat_name: control
    transport_socket: {name: tls}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /xds}}}}]}]}
`
const host = (address: string) => `{endpoint: {address: {socket_address: {address: ${address}, port_value: 80}}}}`
const manager = `{name: m, typed_config: {"@type": ${HCM}, stat_prefix: x, http_filters: [{name: own.filter, typed_config: {"@type": x/own.Filter}}, {name: wrapped, typed_config: {"@type": x/xds.type.v3.TypedStruct, type_url: y/own.Filter}}, {name: late, config_discovery: {}}, {name: router, typed_config: {"@type": x/envoy.Router}}]}}`
const secret = (name: string) => `{name: ${name}, sds_config: ${ads}}`

const push = (hosts: string) => `
resources:
- {"@type": ${CONFIG}.cluster.v3.Cluster, name: up, type: EDS, transport_socket_matches: [], eds_cluster_config: {service_name: svc, eds_config: ${ads}}}
- {"@type": ${CONFIG}.cluster.v3.Cluster, name: nobody, type: EDS, eds_cluster_config: {eds_config: ${ads}}}
- {"@type": ${CONFIG}.cluster.v3.Cluster, name: pass, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {}}
- {"@type": ${CONFIG}.endpoint.v3.ClusterLoadAssignment, cluster_name: svc, endpoints: [{lb_endpoints: [${hosts}]}]}
- "@type": ${CONFIG}.listener.v3.Listener
  name: inbound
  bind_to_port: false
  transparent: true
  address: {socket_address: {address: 0.0.0.0, port_value: 15006}}
  filter_chains:
  - {filter_chain_match: {destination_port: 8080}, transport_socket: {name: tls, typed_config: {"@type": ${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificate_sds_secret_configs: [${secret('own')}], combined_validation_context: {validation_context_sds_secret_config: ${secret('peers')}}}}}, filters: [${manager}]}
  - {filter_chain_match: {destination_port: 8080}, filters: [${manager}]}
  - {filters: [{name: tcp}]}
- {"@type": ${CONFIG}.listener.v3.Listener, name: inside, internal_listener: {}}
- {"@type": ${TYPE}.transport_sockets.tls.v3.Secret, name: own, tls_certificate: {private_key: {inline_bytes: W3JlZGFjdGVkXQ==}}}
`

const folder = t.testdir({
  'one.yaml': push(host('10.0.0.1')),
  'two.yaml': push(`${host('10.0.0.1')}, ${host('10.0.0.2')}`),
})
const sets = ['one', 'two'].map(name => readResourceSet(`${folder}/${name}.yaml`))

function places(): Places & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    port: purpose => 20000 + asked.push(purpose),
    endpoint: cluster => 30000 + asked.push(`endpoint of ${cluster}`),
    controlPlane: 40000,
    log: '/tmp/f/compare.log',
    folder: '/tmp/f',
  }
}

const configuration = readConfiguration(BOOTSTRAP, 'b.yaml', sets, ['own.Filter', 'late'])
const given = places()
const result = rewrite(configuration, given)
const named = (index: number, name: string): JsonObject =>
  result.pushes[index]!.find(one => one['name'] === name || one['cluster_name'] === name)!

t.test('places are asked for once, whatever the number of pushes, and stay the same', t => {
  t.same(given.asked, [
    'admin',
    'listener inbound',
    'listener inbound for 8080',
    'endpoint of svc',
    'endpoint of svc',
    'endpoint of pass',
  ])
  const ports = (index: number) => JSON.stringify(named(index, 'svc')).match(/"port_value":\d+/g)
  t.same(ports(0), ['"port_value":30004'])
  t.same(ports(1), ['"port_value":30004', '"port_value":30005'])
  t.end()
})

t.test('a listener that a later push does not change is the same after rewriting, with the files of its logs', t => {
  const log = (path: string) =>
    `{name: f, typed_config: {"@type": ${TYPE}.access_loggers.file.v3.FileAccessLog, path: ${path}}}`
  const listener = (name: string, ...paths: string[]) =>
    `{"@type": ${CONFIG}.listener.v3.Listener, name: ${name}, address: {socket_address: {address: 0.0.0.0, port_value: 1}}, access_log: [${paths.map(log)}]}`
  const files = t.testdir({
    'one.yaml': `resources: [${listener('kept', '/a', '/b')}]`,
    'two.yaml': `resources: [${listener('new', '/c', '/a')}, ${listener('kept', '/a', '/b')}]`,
  })
  const both = ['one', 'two'].map(name => readResourceSet(`${files}/${name}.yaml`))
  const { pushes } = rewrite(readConfiguration(BOOTSTRAP, 'b.yaml', both), places())
  t.same(pushes[1]![1], pushes[0]![0])
  const paths = (one: unknown) => JSON.stringify(one).match(/access-\d/g)
  t.same(
    [paths(pushes[1]![0]), paths(pushes[1]![1])],
    [
      ['access-2', 'access-0'],
      ['access-0', 'access-1'],
    ],
  )
  t.end()
})

t.test('a listener that only redirected connections reach has a port for each destination', t => {
  const shape = { name: 'inbound', originalAddress: '0.0.0.0' }
  t.same(result.listeners, [
    { ...shape, originalPort: 15006, port: 20002, purpose: 'listener inbound', tls: false, plain: true, codec: null },
    {
      ...shape,
      originalPort: 8080,
      port: 20003,
      purpose: 'listener inbound for 8080',
      tls: true,
      plain: true,
      codec: 'AUTO',
    },
  ])
  const text = JSON.stringify(named(1, 'inbound'))
  t.notMatch(text, /bind_to_port|transparent/)
  t.match(text, '"additional_addresses":[{"address":{"socket_address":{"address":"127.0.0.1","port_value":20003}}}]')
  t.equal(text.split('"destination_port":20003').length, 3)
  t.end()
})

t.test('clusters lead to recorders, the control plane to the own one', t => {
  t.notMatch(JSON.stringify(named(0, 'up')), 'transport_socket_matches')
  t.match(named(0, 'nobody'), { type: 'EDS' }, 'without endpoints it stays')
  t.match(JSON.stringify(named(0, 'pass')), /"type":"STATIC".*30006/)
  t.notMatch(JSON.stringify(named(0, 'pass')), /lb_policy|original_dst/)
  t.match(result.text, '"port_value": 40000')
  t.notMatch(result.text, /"tls"|pipe/)
  t.same(configuration.foreignStats, ['cluster.control.http2.'])
  t.same(configuration.bootstrap['node'], { id: 'compare', cluster: 'compare' })
  t.end()
})

t.test('filters are left out by name and by type, also within a TypedStruct', t => {
  const text = JSON.stringify(named(0, 'inbound'))
  t.notMatch(text, /own\.Filter|late/)
  t.match(text, '"name":"router"')
  t.end()
})

t.test('what a dump does not tell is made: certificates, and the authority of those who verify', t => {
  t.match(String(JSON.stringify(named(0, 'own'))), /BEGIN CERTIFICATE.*BEGIN PRIVATE KEY/)
  t.match(JSON.stringify(named(0, 'peers')), /validation_context.*BEGIN CERTIFICATE/)
  t.match(configuration.identity, { cert: /BEGIN CERTIFICATE/, key: /PRIVATE KEY/ })
  t.match(configuration.notes.join('\n'), 'secret own, peers: made for this run')
  t.end()
})

t.test('a dump without endpoints: one stand-in for each cluster that asks for some', t => {
  const set = {
    ...sets[0]!,
    resources: sets[0]!.resources.filter(one => !('cluster_name' in one)),
    hasEndpoints: false,
  }
  const { pushes, notes } = readConfiguration(BOOTSTRAP, 'b.yaml', [set])
  t.same(
    pushes[0]!.flatMap(one => one['cluster_name'] ?? []),
    ['svc', 'nobody'],
  )
  t.match(notes.join(), /has no endpoints .*: one stand-in for each of 2 clusters/)
  t.end()
})

t.test('resources that nobody asks for are refused', t => {
  const fixed = `static_resources: {listeners: [{name: l, address: {socket_address: {address: 0.0.0.0, port_value: 1}}}]}`
  t.throws(() => readConfiguration(fixed, 'b.yaml', sets), { message: /one\.yaml: b\.yaml asks no control plane/ })
  t.end()
})

t.test('files that are named in watched files are read and moved too', t => {
  const files = t.testdir({})
  const file = (name: string) => `{path_config_source: {path: ${files}/${name}}}`
  const write = (name: string, resource: string) => writeFileSync(`${files}/${name}`, `resources: [${resource}]`)
  write(
    'cds.yaml',
    `{"@type": ${CONFIG}.cluster.v3.Cluster, name: up, type: EDS, eds_cluster_config: {eds_config: ${file('eds.yaml')}}}`,
  )
  write(
    'eds.yaml',
    `{"@type": ${CONFIG}.endpoint.v3.ClusterLoadAssignment, cluster_name: up, endpoints: [{lb_endpoints: [${host('10.0.0.1')}]}]}`,
  )
  const listener = '{name: l, address: {socket_address: {address: 0.0.0.0, port_value: 1}}}'
  const watching = `{dynamic_resources: {cds_config: ${file('cds.yaml')}}, static_resources: {listeners: [${listener}]}}`
  const moved = rewrite(readConfiguration(watching, 'b.yaml'), places())
  t.same(
    moved.files.map(({ path }) => path),
    ['/tmp/f/watched-0.json', '/tmp/f/watched-1.json'],
  )
  t.match(moved.text, '"path": "/tmp/f/watched-0.json"')
  t.match(moved.files[0]!.text, '"path": "/tmp/f/watched-1.json"')
  t.match(moved.files[1]!.text, /"address": "127\.0\.0\.1"/)
  const bootstrap = { '@type': 'x/envoy.admin.v3.BootstrapConfigDump', bootstrap: parseConfiguration(watching) }
  const clusters = {
    '@type': 'x/envoy.admin.v3.ClustersConfigDump',
    dynamic_active_clusters: [{ cluster: { name: 'up' } }],
  }
  const dump = readConfiguration(JSON.stringify({ configs: [bootstrap, clusters] }), 'dump.json')
  t.same(
    [[...dump.files.keys()], dump.pushes],
    [[`${files}/cds.yaml`, `${files}/eds.yaml`], []],
    'so are those of a dump',
  )
  t.end()
})

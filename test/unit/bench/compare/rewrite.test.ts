import t from 'tap'
import { readConfiguration } from '../../../../bench/compare/configuration.ts'
import type { JsonObject } from '../../../../bench/compare/json.ts'
import { CompareError } from '../../../../bench/compare/options.ts'
import type { Places } from '../../../../bench/compare/places.ts'
import { rewrite } from '../../../../bench/compare/rewrite.ts'
import { protocolOf } from '../../../../bench/compare/rewrite-cluster.ts'
import { LOG_FIELDS } from '../../../../bench/compare/rewrite-listener.ts'

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const FILE_LOG = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog'
const OPTIONS = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions'

const manager = `{name: m, typed_config: {"@type": ${HCM}, stat_prefix: x, access_log: [{name: own, typed_config: {"@type": ${FILE_LOG}, path: /var/log/own.log}}]}}`

const folder = t.testdir({ 'eds.yaml': 'resources: []' })
const CONFIG = `
admin: {address: {socket_address: {address: 0.0.0.0, port_value: 9901}}}
static_resources:
  listeners:
  - {name: plain, address: {socket_address: {address: 0.0.0.0, port_value: 80}}, filter_chains: [{filters: [${manager}]}]}
  - {name: secure, address: {socket_address: {address: "::", port_value: 443}}, filter_chains: [{transport_socket: {name: tls}, filters: [${manager}]}], default_filter_chain: {filters: [${manager}]}}
  - {name: pipe, address: {pipe: {path: /tmp/x.sock}}, filter_chains: []}
  - {name: unbound, bind_to_port: false, address: {socket_address: {address: 0.0.0.0, port_value: 15006}}, filter_chains: [{filters: [${manager}]}]}
  - {name: datagrams, address: {socket_address: {address: 0.0.0.0, port_value: 53, protocol: UDP}}}
  clusters:
  - name: dns
    type: STRICT_DNS
    transport_socket: {name: tls}
    typedExtensionProtocolOptions: {o: {"@type": ${OPTIONS}, auto_config: {}}}
    loadAssignment:
      clusterName: dns
      endpoints: [{lbEndpoints: [{endpoint: {address: {socketAddress: {address: a.internal, portValue: 80}}}}, {endpoint: {address: {socketAddress: {address: b.internal, portValue: 80}}, healthCheckConfig: {portValue: 81}}}]}]
  - {name: found, type: EDS, eds_cluster_config: {eds_config: {path_config_source: {path: ${folder}/eds.yaml}}}}
  - name: h2
    typed_extension_protocol_options: {o: {"@type": ${OPTIONS}, explicit_http_config: {http2_protocol_options: {}}}}
    load_assignment: {cluster_name: h2, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}]}]}
`

function places(): Places & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    port: purpose => 20000 + asked.push(purpose),
    endpoint: (cluster, protocol) => 30000 + asked.push(`${cluster} ${protocol}`),
    controlPlane: 40000,
    log: '/tmp/f/compare.log',
    folder: '/tmp/f',
  }
}

const root = readConfiguration(CONFIG, 'envoy.yaml')
const first = places()
const result = rewrite(root, first)
const rewritten = JSON.parse(result.text) as Record<string, JsonObject>
const at = (path: string): unknown =>
  path.split('.').reduce<unknown>((value, key) => (value as JsonObject)?.[key], rewritten)

t.test('listeners and the admin interface move to loopback ports of their own, in order', t => {
  t.same(first.asked.slice(0, 6), [
    'admin',
    'listener plain',
    'listener secure',
    'listener pipe',
    'listener unbound',
    'datagrams',
  ])
  t.equal(result.admin, 20001)
  t.same(at('admin.address'), { socket_address: { address: '127.0.0.1', port_value: 20001 } })
  t.same(result.listeners, [
    place('plain', '0.0.0.0', 80, 20002, { plain: true, codec: 'AUTO' }),
    place('secure', '::', 443, 20003, { tls: true, plain: true, codec: 'AUTO' }),
    place('pipe', '', 0, 20004, {}),
    place('unbound', '0.0.0.0', 15006, 20005, { plain: true, codec: 'AUTO' }),
  ])
  t.same(at('static_resources.listeners.2.address'), { socket_address: { address: '127.0.0.1', port_value: 20004 } })
  t.equal(at('static_resources.listeners.3.bind_to_port'), undefined, 'nothing is redirected to it: it gets a port')
  t.end()
})

t.test('endpoints move to recorders, under either name of a field, and lose what needs the real ones', t => {
  t.same(first.asked.slice(6), ['dns http1', 'dns http1', 'h2 http2'])
  const text = JSON.stringify(at('static_resources.clusters.0'))
  t.notMatch(text, /internal|auto_config|transport_socket|portValue/)
  t.match(text, '"explicit_http_config":{"http_protocol_options":{}}')
  t.match(result.notes.join('\n'), /cluster dns: no TLS[\s\S]*cluster dns: HTTP\/1\.1 instead[\s\S]*$/)
  t.match(JSON.stringify(at('static_resources.clusters.2')), '"http2_protocol_options":{}')
  t.end()
})

t.test('every connection manager gets the log that is compared; logs of its own go to the folder', t => {
  const logs = result.text.split('"remora.compare"').length - 1
  t.equal(logs, 4)
  t.equal(result.text.split('/tmp/f/compare.log').length - 1, 4)
  t.notMatch(result.text, '/var/log/own.log')
  t.equal(result.text.split('/tmp/f/access-0.log').length - 1, 4, 'one file for all, as before')
  t.match(result.text, LOG_FIELDS.map(([, operator]) => operator).join('\\t'))
  t.end()
})

t.test('a cluster speaks HTTP/2 under either name of the field', t => {
  const options = (name: string) => ({ o: { explicitHttpConfig: { [name]: {} } } })
  const of = (name: string) => protocolOf({ typedExtensionProtocolOptions: options(name) })
  t.same(['http2_protocol_options', 'http2ProtocolOptions', 'http_protocol_options'].map(of), [
    'http2',
    'http2',
    'http1',
  ])
  t.end()
})

function place(name: string, originalAddress: string, originalPort: number, port: number, more: object): object {
  const otherwise = { tls: false, plain: false, codec: null, purpose: `listener ${name}` }
  return { name, originalAddress, originalPort, port, ...otherwise, ...more }
}

function ads(type: string, cluster: string): string {
  return `{ads_config: {api_type: ${type}, grpc_services: [{envoy_grpc: {cluster_name: ${cluster}}}]}}`
}

function control(name: string): string {
  return `static_resources: {clusters: [{name: ${name}, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /xds}}}}]}]}}]}`
}

t.test('the configuration given is not changed, and rewriting it again gives the same', t => {
  t.match(JSON.stringify(root.bootstrap), '/var/log/own.log')
  t.equal(rewrite(root, places()).text, result.text)
  t.end()
})

t.test('real upstreams: clusters stay as they are', t => {
  const kept = JSON.parse(rewrite(root, { ...places(), endpoint: () => null }).text) as Record<string, JsonObject>
  const clusters = (root.bootstrap['static_resources'] as JsonObject)['clusters'] as JsonObject[]
  const others = (list: unknown) => (list as JsonObject[]).filter(({ name }) => name !== 'found')
  t.same(others(kept['static_resources']!['clusters']), others(clusters))
  t.end()
})

t.test('what cannot be run twice is refused with what to do', t => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['a: [', /c\.yaml: /],
    ['[]', /no configuration/],
    ['static_resources: {clusters: []}', /no listener in static_resources, --resources or watched files/],
    ['{configs: [{"@type": x/envoy.admin.v3.ClustersConfigDump}]}', /a config_dump without the bootstrap/],
    [`dynamic_resources: ${ads('GRPC', 'c')}`, /cluster c, which static_resources\.clusters does not have/],
    [`dynamicResources: ${ads('REST', 'c')}`, /api_type REST is not served; write GRPC or DELTA_GRPC/],
    [
      'dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{google_grpc: {}}]}}',
      /envoy_grpc\.cluster_name/,
    ],
    ['dynamic_resources: {lds_resources_locator: "xdstp://a/b"}', /xdstp:.* are not served/],
    [`{dynamic_resources: ${ads('DELTA_GRPC', 'c')}, ${control('c')}}`, /by xDS from c\. Give them with --resources/],
    [`{dynamic_resources: ${ads('GRPC', 'c')}, static_resources: {clusters: [{name: c}]}}`, /no load_assignment/],
    ['dynamic_resources: {lds_config: {path_config_source: {path: /nowhere.yaml}}}', /nowhere\.yaml/],
  ]
  for (const [text, message] of wrong) {
    t.throws(() => readConfiguration(text, 'c.yaml'), { message })
    t.throws(() => readConfiguration(text, 'c.yaml'), CompareError)
  }
  t.end()
})

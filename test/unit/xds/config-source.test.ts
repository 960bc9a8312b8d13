import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import { type ConfigSourceProto, planApi, planSource, type SourcePlan } from '../../../src/xds/config-source.ts'

type Cluster = envoy.config.cluster.v3.Cluster

function clusters(...json: object[]): Map<string, Cluster> {
  return new Map(
    json.map(c => {
      const { message } = readJson<Cluster>('envoy.config.cluster.v3.Cluster', c)
      return [message.name ?? '', message]
    }),
  )
}

function plan(json: object, ads = false, known = clusters()): SourcePlan {
  const { message } = readJson<ConfigSourceProto>('envoy.config.core.v3.ConfigSource', json)
  return planSource(message, known, ads, FieldPath.root())
}

function api(json: object, known: Map<string, Cluster>) {
  const { message } = readJson<envoy.config.core.v3.ApiConfigSource>('envoy.config.core.v3.ApiConfigSource', json)
  return planApi(message, known, FieldPath.root())
}

const at = (address: object): object => ({ lb_endpoints: [{ endpoint: { address } }] })
const tcp = (address: string, port: number): object => at({ socket_address: { address, port_value: port } })
const xds = (...endpoints: object[]): Map<string, Cluster> =>
  clusters({ name: 'xds', load_assignment: { cluster_name: 'xds', endpoints } })
const grpc = (service: object = { envoy_grpc: { cluster_name: 'xds' } }): object => ({
  api_type: 'GRPC',
  transport_api_version: 'V3',
  grpc_services: [service],
})

t.test('ads needs an ads_config', t => {
  t.same(plan({ ads: {} }, true), { kind: 'ads' })
  t.throws(() => plan({ ads: {} }), /^ADS must be configured to support an ADS config source/)
  t.end()
})

t.test('a path must exist', t => {
  t.throws(
    () => plan({ path_config_source: { path: '/nope/cds.yaml' } }),
    /^paths must refer to an existing path in the system: '\/nope\/cds\.yaml' does not exist/,
  )
  const path = t.testdir({ 'cds.yaml': '' })
  t.same(plan({ path_config_source: { path: `${path}/cds.yaml`, watched_directory: { path } } }), {
    kind: 'file',
    path: `${path}/cds.yaml`,
    watchedDirectory: path,
  })
  t.end()
})

t.test('the endpoints of the named bootstrap cluster are the targets: TCP, IPv6, Unix and abstract sockets', t => {
  const pipes = [at({ pipe: { path: './etc/istio/proxy/XDS' } }), at({ pipe: { path: '@xds' } })]
  const { target } = api(grpc(), xds(tcp('127.0.0.1', 15010), tcp('::1', 15010), ...pipes))
  t.same(target.addresses, ['127.0.0.1:15010', '[::1]:15010', 'unix:./etc/istio/proxy/XDS', 'unix-abstract:xds'])
  t.equal(target.authority, 'xds')
  t.equal(target.tls, null)
  t.end()
})

t.test('an unknown cluster, and one without endpoints', t => {
  t.throws(() => api(grpc(), clusters()), /^Unknown gRPC client cluster 'xds'/)
  t.throws(() => api(grpc(), xds()), { code: 'CONFIG_UNSUPPORTED' })
  t.end()
})

t.test('authority, metadata, back-off and keepalive are read', t => {
  const service = {
    envoy_grpc: {
      cluster_name: 'xds',
      authority: 'istiod',
      retry_policy: { retry_back_off: { base_interval: '0.1s', max_interval: '2s' } },
    },
    initial_metadata: [{ key: 'Authorization', value: 'Bearer x' }],
  }
  const known = clusters({
    name: 'xds',
    load_assignment: { cluster_name: 'xds', endpoints: [tcp('127.0.0.1', 1)] },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: { connection_keepalive: { interval: '30s', timeout: '5s' } } },
      },
    },
  })
  t.match(api(grpc(service), known).target, {
    authority: 'istiod',
    metadata: [['authorization', 'Bearer x']],
    retryBase: 100,
    retryMax: 2000,
    keepaliveInterval: 30_000,
    keepaliveTimeout: 5000,
  })
  t.end()
})

t.test('rate_limit_settings: off unless set, then 100 tokens and 10 a second', t => {
  const known = xds(tcp('127.0.0.1', 1))
  t.match(api(grpc(), known), { maxTokens: 0, nodeOnFirstMessageOnly: false })
  t.match(api({ ...grpc(), rate_limit_settings: {} }, known), { maxTokens: 100, fillRate: 10 })
  const limit = { max_tokens: 5, fill_rate: 0.5 }
  t.match(api({ ...grpc(), rate_limit_settings: limit }, known), { maxTokens: 5, fillRate: 0.5 })
  t.end()
})

t.test('TLS with files or inline certificates; what would be left out of the check is refused', t => {
  const socket = (context: object): Map<string, Cluster> =>
    clusters({
      name: 'xds',
      load_assignment: { cluster_name: 'xds', endpoints: [tcp('127.0.0.1', 1)] },
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
          sni: 'istiod.local',
          common_tls_context: context,
        },
      },
    })
  const known = socket({ validation_context: { trusted_ca: { inline_string: 'CA' } } })
  t.match(api(grpc(), known).target.tls, { ca: Buffer.from('CA'), chain: null, key: null, serverName: 'istiod.local' })
  const hash = { verify_certificate_hash: ['00'] }
  for (const context of [
    { validation_context: hash },
    { validation_context: { match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'x' } }] } },
    { tls_certificate_sds_secret_configs: [{ name: 'x' }] },
  ]) {
    t.throws(() => api(grpc(), socket(context)), { code: 'CONFIG_UNSUPPORTED' })
  }
  t.throws(() => api(grpc(), socket({ validation_context: { trusted_ca: { filename: '/nope' } } })), {
    code: 'CONFIG_RESOURCE',
  })
  t.end()
})

t.test('google_grpc: a plain URI only', t => {
  const service = { google_grpc: { target_uri: 'dns:///istiod:15010', stat_prefix: 'x' } }
  t.same(api(grpc(service), clusters()).target.addresses, ['dns:///istiod:15010'])
  const withTls = { google_grpc: { target_uri: 'x', stat_prefix: 'x', channel_credentials: { ssl_credentials: {} } } }
  t.throws(() => api(grpc(withTls), clusters()), { code: 'CONFIG_UNSUPPORTED' })
  t.end()
})

t.test('what is not spoken is refused by name', t => {
  const known = xds(tcp('127.0.0.1', 1))
  t.throws(() => api({ ...grpc(), api_type: 'REST' }, known), {
    code: 'CONFIG_UNSUPPORTED',
    message: /api_type REST is not supported\n {2}at api_type\n {2}use api_type GRPC or DELTA_GRPC/,
  })
  t.equal(api(grpc(), known).delta, false)
  t.equal(api({ ...grpc(), api_type: 'DELTA_GRPC' }, known).delta, true)
  t.ok(api({ ...grpc(), transport_api_version: 'AUTO' }, known), 'unset and AUTO are V3')
  t.throws(() => api({ ...grpc(), transport_api_version: 'V2' }, known), /V2 xDS transport protocol version/)
  t.throws(() => api({ ...grpc(), grpc_services: [] }, known), /must have a single gRPC service specified/)
  t.throws(() => api({ ...grpc(), cluster_names: ['x'] }, known), /must not have a cluster name specified/)
  t.throws(() => plan({ self: {} }), /`self` is not supported/)
  t.throws(() => plan({ authorities: [{ name: 'x' }], ads: {} }, true), /authorities/)
  t.end()
})

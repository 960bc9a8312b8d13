/** Options of the bootstrap that no golden file of Istio covers. */
import t from 'tap'
import { makeBootstrap } from '../../../src/agent/bootstrap.ts'
import { configureLog } from '../../../src/agent/log.ts'
import { nodeIdentity, type ProxyType } from '../../../src/agent/node-identity.ts'
import { readProxyConfig } from '../../../src/agent/proxy-config.ts'

configureLog({ write: () => {} })

type Json = Readonly<Record<string, unknown>>

interface Made {
  readonly node: { readonly cluster: string; readonly locality: Json; readonly metadata: Json }
  readonly clusters: ReadonlyMap<string, Json>
  readonly listeners: ReadonlyMap<string, Json>
  readonly all: Json
}

const POD = { POD_NAME: 'web-0', POD_NAMESPACE: 'shop' }

function make({
  env = {},
  config: changes = {},
  addresses = ['10.0.0.2'],
  labels = '',
  type = 'sidecar',
}: {
  type?: ProxyType
  env?: Record<string, string>
  config?: Json
  addresses?: string[]
  labels?: string
}): Made {
  const base = { configPath: '/x', binaryPath: '/y', discoveryAddress: 'istiod:15012', drainDuration: '45s' }
  const config = readProxyConfig({
    ...base,
    serviceCluster: 'istio-proxy',
    statusPort: 15020,
    proxyAdminPort: 15000,
    ...changes,
  })
  const all = { ...POD, ...env }
  const from = { type, env: all, domain: '', config, labels, annotations: undefined }
  const node = nodeIdentity({ ...from, localAddresses: addresses })
  const made = JSON.parse(JSON.stringify(makeBootstrap({ node, config, env: all, logAsJson: false })))
  const byName = (list: { name: string }[]): Map<string, Json> => new Map(list.map(item => [item.name, { ...item }]))
  const { clusters, listeners } = made.static_resources
  return { node: made.node, clusters: byName(clusters), listeners: byName(listeners), all: made }
}

t.test('a waypoint: always incremental discovery, and the workloads of the mesh', async t => {
  const env = { ISTIO_DELTA_XDS: 'false' }
  const extensions = (made: Made): unknown[] => (made.all.bootstrap_extensions as { name: string }[]).map(e => e.name)
  const waypoint = make({ type: 'waypoint', env })
  t.equal((waypoint.all.node as { id: string }).id, 'waypoint~10.0.0.2~web-0.shop~shop.svc.cluster.local')
  t.match(waypoint.all.dynamic_resources, { ads_config: { api_type: 'DELTA_GRPC' } })
  t.same(extensions(waypoint), ['metadata_discovery', 'envoy.bootstrap.internal_listener'])
  t.match(JSON.stringify(waypoint.all.stats_config), '{"prefix":"workload_discovery"}')
  const sidecar = make({ env })
  t.match(sidecar.all.dynamic_resources, { ads_config: { api_type: 'GRPC' } })
  t.same(extensions(sidecar), ['envoy.bootstrap.internal_listener'])
})

t.test('dual stack: listeners have both families, that of the first address leads', async t => {
  const env = { ISTIO_DUAL_STACK: 'true' }
  const tracing = { zipkin: { address: 'zipkin:9411' } }
  const four = make({ env, addresses: ['10.0.0.2', 'fd00::2'], config: { tracing } })
  t.match(four.listeners.get('0.0.0.0_15090'), {
    additional_addresses: [{ address: { socket_address: { address: '::', port_value: 15090 } } }],
  })
  t.match(four.listeners.get('0.0.0.0_15021'), { additional_addresses: [{}] })
  t.equal(four.clusters.get('zipkin')?.dns_lookup_family, 'ALL')
  const six = make({ env, addresses: ['fd00::2', '10.0.0.2'] })
  t.match(six.listeners.get('::_15090'), {
    additional_addresses: [{ address: { socket_address: { address: '0.0.0.0' } } }],
  })
  const off = make({ addresses: ['fd00::2', '10.0.0.2'] })
  t.equal(off.listeners.get('0.0.0.0_15090')?.additional_addresses, undefined)
  t.equal(
    make({ env, addresses: ['fd00::2'], config: { tracing } }).clusters.get('zipkin')?.dns_lookup_family,
    'V6_ONLY',
  )
})

t.test('metrics for localhost only, readiness behind PROXY protocol', async t => {
  const made = make({
    env: { ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL: 'true' },
    config: { proxyMetadata: { METRICS_LOCALHOST_ACCESS_ONLY: 'true' } },
  })
  t.ok(made.listeners.has('127.0.0.1_15090'))
  t.match(made.listeners.get('0.0.0.0_15021'), {
    listener_filters: [{ typed_config: { allow_requests_without_proxy_protocol: true } }],
  })
})

t.test('telemetry services: mutual TLS of the mesh with a default SNI, keepalive, address of the node', async t => {
  const { clusters } = make({
    env: { HOST_IP: '192.0.2.7' },
    config: {
      tracing: { datadog: { address: '$(HOST_IP):8126' } },
      envoyMetricsService: {
        address: 'metrics:1',
        tlsSettings: { mode: 'ISTIO_MUTUAL', subjectAltNames: ['spiffe://a'] },
        tcpKeepalive: { probes: 3, time: '10s' },
      },
    },
  })
  t.match(clusters.get('envoy_metrics_service'), {
    upstream_connection_options: { tcp_keepalive: { keepalive_probes: 3, keepalive_time: 10 } },
    transport_socket: {
      typed_config: {
        sni: 'envoy_metrics_service',
        common_tls_context: {
          alpn_protocols: ['istio', 'h2'],
          tls_certificate_sds_secret_configs: [{ name: 'default' }],
          combined_validation_context: {
            default_validation_context: { match_subject_alt_names: [{ exact: 'spiffe://a' }] },
            validation_context_sds_secret_config: { name: 'ROOTCA' },
          },
        },
      },
    },
  })
  t.match(JSON.stringify(clusters.get('datadog_agent')), '"address":"192.0.2.7","port_value":8126')
  t.throws(() => make({ config: { statsdUdpAddress: 'nowhere' } }), /statsdUdpAddress: "nowhere" is not host:port/)
  const wrong = { address: 'a:1', tlsSettings: { mode: 'SOMETIMES' } }
  t.throws(() => make({ config: { envoyAccessLogService: wrong } }), /tlsSettings.mode: "SOMETIMES"/)
})

t.test('the service of the node: label, workload, canonical name, or what is configured', async t => {
  const cluster = (config: Json, labels = '', env = {}): string => make({ config, labels, env }).node.cluster
  t.equal(cluster({}), 'istio-proxy.shop')
  t.equal(cluster({}, 'app="web"\n'), 'web.shop')
  t.equal(cluster({}, '', { ISTIO_META_WORKLOAD_NAME: 'deploy' }), 'deploy.shop')
  t.equal(cluster({ serviceCluster: 'mine' }, 'app="web"\n'), 'mine')
  const labels = 'app="web"\nservice.istio.io/canonical-name="front"\n'
  t.equal(cluster({ tracingServiceName: 'CANONICAL_NAME_ONLY' }, labels), 'front')
  t.equal(cluster({ tracingServiceName: 'CANONICAL_NAME_AND_NAMESPACE' }, labels), 'front.shop')
  t.equal(cluster({ tracingServiceName: 'APP_LABEL_AND_NAMESPACE', serviceCluster: '' }, labels), 'web.shop')
})

t.test('self discovery adds the cluster of the own service', async t => {
  const made = make({ env: { ISTIO_META_ENABLE_SELF_DISCOVERY: 'true' } })
  t.equal(made.clusters.get('local_cluster')?.type, 'EDS')
  t.match(made.all.cluster_manager, { local_cluster_name: 'local_cluster' })
})

t.test('labels of the pod win over ISTIO_METAJSON_LABELS; the hash of the template is left out', async t => {
  const { node } = make({
    env: { ISTIO_METAJSON_LABELS: '{"a":"env","b":"env"}' },
    labels: 'a="pod"\npod-template-hash="x"\ntopology.istio.io/locality="r.z"\n',
  })
  t.match(node.metadata.LABELS, { a: 'pod', b: 'env', 'istio-locality': 'r/z' })
  t.notOk('pod-template-hash' in (node.metadata.LABELS as object))
  t.same(node.metadata.STATIC_LABELS, { a: 'env', b: 'env' })
  t.same(node.locality, { region: 'r', zone: 'z' })
})

t.test('PILOT_SAN is the host of the control plane when it is spoken to with TLS', async t => {
  const san = (config: Json): unknown => make({ config }).node.metadata.PILOT_SAN
  t.same(san({ controlPlaneAuthPolicy: 'MUTUAL_TLS' }), ['istiod'])
  const local = { controlPlaneAuthPolicy: 'MUTUAL_TLS', discoveryAddress: 'localhost:15012' }
  t.same(san(local), ['istiod.istio-system.svc'])
  t.equal(san({ controlPlaneAuthPolicy: 'NONE' }), undefined)
})

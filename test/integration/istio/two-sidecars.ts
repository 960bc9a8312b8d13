import { certificatePath } from '../../harness/certificates.ts'

/** Bootstraps of a client's and a server's sidecar, with the filters that Istio pushes; static, one listener per kind of traffic. */
const TYPE = 'type.googleapis.com/'
const HTTP = 'envoy.extensions.filters.http'
const NET = 'envoy.extensions.filters.network'

type Json = Record<string, unknown>

const typed = (name: string, type: string, body: Json = {}): Json => ({
  name,
  typed_config: { '@type': TYPE + type, ...body },
})

/** As istiod writes what Envoy itself does not know. */
const struct = (name: string, type: string, value: Json): Json => ({
  name,
  typed_config: { '@type': `${TYPE}udpa.type.v1.TypedStruct`, type_url: TYPE + type, value },
})

const address = (port: number): Json => ({ socket_address: { address: '127.0.0.1', port_value: port } })
const EXCHANGE = 'envoy.tcp.metadataexchange.config.MetadataExchange'
const tcpExchange = struct('istio.metadata_exchange', EXCHANGE, {
  protocol: 'istio-peer-exchange',
  enable_discovery: true,
})
const DIMENSIONS = { metrics: [{ name: 'requests_total', dimensions: { request_host: 'request.host' } }] }
const istioStats = (body: Json = {}): Json => typed('istio.stats', 'stats.PluginConfig', body)
const alpn = typed('istio.alpn', 'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig', {
  alpn_override: [
    { alpn_override: ['istio-http/1.0', 'istio', 'http/1.0'] },
    { upstream_protocol: 'HTTP11', alpn_override: ['istio-http/1.1', 'istio', 'http/1.1'] },
    { upstream_protocol: 'HTTP2', alpn_override: ['istio-h2', 'istio', 'h2'] },
  ],
})

function certificates(name: string): Json {
  return {
    tls_certificates: [
      {
        certificate_chain: { filename: certificatePath(`${name}.pem`) },
        private_key: { filename: certificatePath(`${name}.key`) },
      },
    ],
    validation_context: { trusted_ca: { filename: certificatePath('ca.pem') } },
  }
}

function manager(cluster: string, filters: readonly Json[], more: Json = {}): Json {
  return typed('http', `${NET}.http_connection_manager.v3.HttpConnectionManager`, {
    stat_prefix: 'h',
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
    },
    http_filters: [...filters, typed('router', `${HTTP}.router.v3.Router`)],
    ...more,
  })
}

const tcpProxy = (cluster: string): Json => typed('tcp', `${NET}.tcp_proxy.v3.TcpProxy`, { stat_prefix: 't', cluster })
const grpcStats = typed('grpc', `${HTTP}.grpc_stats.v3.FilterConfig`, { emit_filter_state: true })

function node(id: string, workload: string): Json {
  return {
    id,
    cluster: workload,
    metadata: {
      NAME: `${workload}-1`,
      NAMESPACE: `${workload}-ns`,
      WORKLOAD_NAME: workload,
      CLUSTER_ID: 'Kubernetes',
      ISTIO_VERSION: '1.30.0',
      OWNER: `kubernetes://apis/apps/v1/namespaces/${workload}-ns/deployments/${workload}`,
      LABELS: {
        app: workload,
        version: 'v1',
        'service.istio.io/canonical-name': workload,
        'service.istio.io/canonical-revision': 'v1',
      },
    },
  }
}

function cluster(name: string, port: number, more: Json = {}): Json {
  const endpoint = { endpoint: { address: address(port) } }
  const load_assignment = { cluster_name: name, endpoints: [{ lb_endpoints: [endpoint] }] }
  return { name, type: 'STATIC', load_assignment, ...more }
}

/** Everything to one port, told apart by ALPN: HTTP by `istio-http/1.1`, TCP by `istio-peer-exchange`. */
export function serverSidecar(port: number, admin: number, http: number, tcp: number): string {
  const tls = (protocols: readonly string[]): Json =>
    typed('tls', 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
      require_client_certificate: true,
      common_tls_context: { alpn_protocols: protocols, ...certificates('server') },
    })
  const exchange = struct('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config', {
    downstream_discovery: [{ istio_headers: {} }, { workload_discovery: {} }],
    downstream_propagation: [{ istio_headers: {} }],
  })
  return JSON.stringify({
    node: node('sidecar~10.0.0.2~web.web-ns~x', 'web'),
    admin: { address: address(admin) },
    stats_flush_interval: '0.2s',
    static_resources: {
      listeners: [
        {
          name: 'virtualInbound',
          address: address(port),
          traffic_direction: 'INBOUND',
          listener_filters: [typed('i', 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector')],
          filter_chains: [
            {
              name: 'same name',
              filter_chain_match: { application_protocols: ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'] },
              transport_socket: tls(['h2', 'http/1.1']),
              filters: [
                manager('app', [exchange, grpcStats, istioStats({ disable_host_header_fallback: true })], {
                  forward_client_cert_details: 'APPEND_FORWARD',
                  set_current_client_cert_details: { subject: true, dns: true, uri: true },
                }),
              ],
            },
            {
              name: 'same name',
              filter_chain_match: { application_protocols: ['istio-peer-exchange', 'istio'] },
              transport_socket: tls(['istio-peer-exchange', 'h2', 'http/1.1']),
              filters: [tcpExchange, istioStats(), tcpProxy('app-tcp')],
            },
          ],
        },
      ],
      clusters: [cluster('app', http), cluster('app-tcp', tcp)],
    },
  })
}

/** `port` takes HTTP, `tcp` takes TCP. */
export function clientSidecar(port: number, admin: number, tcp: number, server: number): string {
  const tls = typed('tls', 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
    sni: 'outbound_.80_._.web.svc',
    common_tls_context: { alpn_protocols: ['istio-peer-exchange', 'istio'], ...certificates('client') },
  })
  const service = { host: 'web.web-ns.svc.cluster.local', name: 'web', namespace: 'web-ns' }
  const more = {
    transport_socket: tls,
    filters: [tcpExchange],
    metadata: { filter_metadata: { istio: { services: [service] } } },
  }
  const exchange = struct('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config', {
    upstream_discovery: [{ istio_headers: {} }, { workload_discovery: {} }],
    upstream_propagation: [{ istio_headers: {} }],
  })
  const outbound = (name: string, at: number, filters: readonly Json[]): Json => ({
    name,
    address: address(at),
    traffic_direction: 'OUTBOUND',
    filter_chains: [{ filters }],
  })
  return JSON.stringify({
    node: node('sidecar~10.0.0.1~sleep.sleep-ns~x', 'sleep'),
    admin: { address: address(admin) },
    stats_flush_interval: '0.2s',
    static_resources: {
      listeners: [
        outbound('http', port, [manager('outbound|80||web', [exchange, grpcStats, alpn, istioStats(DIMENSIONS)])]),
        outbound('tcp', tcp, [istioStats({ tcp_reporting_duration: '0.1s' }), tcpProxy('outbound|90||web')]),
      ],
      clusters: [cluster('outbound|80||web', server, more), cluster('outbound|90||web', server, more)],
    },
  })
}

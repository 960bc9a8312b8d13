import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AdsServer } from '../../../../src/lab/ads-server.ts'
import { readResources } from '../../../../src/lab/resource-files.ts'
import { until } from '../../../harness/until.ts'
import { type Answer, ask, RunningAgent } from '../running-agent.ts'

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'

/** SDS as istiod's listeners and clusters ask for it. */
function secret(name: string, cluster = 'sds-grpc'): string {
  return JSON.stringify({
    name,
    sds_config: {
      api_config_source: {
        api_type: 'GRPC',
        grpc_services: [{ envoy_grpc: { cluster_name: cluster } }],
        set_node_on_first_message_only: true,
        transport_api_version: 'V3',
      },
      initial_fetch_timeout: '0s',
      resource_api_version: 'V3',
    },
  })
}

function connectionManager(name: string, route: string): string {
  return `
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: ${name}
        route_config:
          virtual_hosts:
          - name: all
            domains: ["*"]
            response_headers_to_add:
            - { header: { key: x-peer, value: "%DOWNSTREAM_PEER_URI_SAN%" } }
            - { header: { key: x-serial, value: "%DOWNSTREAM_PEER_SERIAL%" } }
            routes:
            - match: { prefix: / }
              ${route}
        http_filters:
        - name: envoy.filters.http.router
          typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }`
}

export interface SecretNames {
  readonly certificate: string
  readonly roots: string
  /** Cluster to ask. */
  readonly cluster?: string
}

/** A server that lets in who shows a certificate of the mesh, and tells who it was in \`x-peer\`. */
export function serverListener(port: number, names: SecretNames): string {
  return `resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: inbound
  traffic_direction: INBOUND
  address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
  filter_chains:
  - transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": ${TLS}.DownstreamTlsContext
        require_client_certificate: true
        common_tls_context:
          tls_certificate_sds_secret_configs: [${secret(names.certificate, names.cluster)}]
          combined_validation_context:
            default_validation_context: { match_typed_subject_alt_names: [{ san_type: URI, matcher: { prefix: "spiffe://cluster.local/" } }] }
            validation_context_sds_secret_config: ${secret(names.roots, names.cluster)}
    filters:${connectionManager('inbound', 'direct_response: { status: 200, body: { inline_string: hello } }')}
`
}

export function clientListener(port: number): string {
  return `resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: outbound
  traffic_direction: OUTBOUND
  address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
  filter_chains:
  - filters:${connectionManager('outbound', 'route: { cluster: echo }')}
`
}

/** A client with many handshakes: two requests per connection. */
export function clientCluster(port: number, names: SecretNames): string {
  return `resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: echo
  type: STATIC
  connect_timeout: 5s
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      common_http_protocol_options: { max_requests_per_connection: 2 }
      explicit_http_config: { http_protocol_options: {} }
  load_assignment:
    cluster_name: echo
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } } }] }]
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": ${TLS}.UpstreamTlsContext
      sni: echo
      common_tls_context:
        tls_certificate_sds_secret_configs: [${secret(names.certificate, names.cluster)}]
        combined_validation_context:
          default_validation_context: { match_typed_subject_alt_names: [{ san_type: URI, matcher: { exact: "spiffe://cluster.local/ns/demo/sa/server" } }] }
          validation_context_sds_secret_config: ${secret(names.roots, names.cluster)}
`
}

/** An agent with a control plane of its own. */
export class Pod {
  readonly agent = new RunningAgent()
  readonly #ads = new AdsServer(() => {})

  write(path: string, text: string): string {
    const absolute = join(this.agent.folder, path)
    mkdirSync(join(absolute, '..'), { recursive: true })
    writeFileSync(absolute, text)
    return absolute
  }

  /** With Remora, unless another proxy is named. */
  start(env: Record<string, string>, proxyBinary = ''): void {
    this.agent.start(proxyBinary, env)
  }

  async configure(listeners: string, clusters?: string): Promise<void> {
    this.write('resources/echo-v1/listeners.yaml', listeners)
    if (clusters !== undefined) this.write('resources/echo-v1/clusters.yaml', clusters)
    this.#ads.publish(readResources(join(this.agent.folder, 'resources')))
    await this.#ads.listen(`unix:${this.agent.xdsSocket}`)
  }

  async stop(): Promise<void> {
    this.#ads.close()
    await this.agent.stop()
  }
}

export const MESH: SecretNames = { certificate: 'default', roots: 'ROOTCA' }

export interface Mesh {
  readonly server: Pod
  readonly client: Pod
  /** A request through both proxies. */
  readonly request: () => Promise<Answer>
}

export function makeMesh(t: { teardown: (fn: () => Promise<void>) => void }): Mesh {
  const [server, client] = [new Pod(), new Pod()]
  t.teardown(async () => void (await Promise.all([server.stop(), client.stop()])))
  return { server, client, request: () => ask(client.agent.admin + 4, '/') }
}

/** Client and server ask for these secrets. */
export async function configure(mesh: Mesh, names = MESH, clientNames = names): Promise<void> {
  const port = mesh.server.agent.admin + 4
  await mesh.server.configure(serverListener(port, names))
  await mesh.client.configure(clientListener(mesh.client.agent.admin + 4), clientCluster(port, clientNames))
}

/** The first answer with status 200; rejects with the logs. */
export async function works(mesh: Mesh): Promise<Answer> {
  let answer = await mesh.request()
  await until(async () => {
    answer = await mesh.request()
    return answer.status === 200
  }).catch(() => {
    throw new Error(`${answer.status} ${answer.body}\n${mesh.server.agent.output}\n${mesh.client.agent.output}`)
  })
  return answer
}

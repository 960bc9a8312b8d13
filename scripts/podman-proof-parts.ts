/**
 * What scripts/podman-proof has in place of a cluster.
 *   plane FOLDER ADDRESS ADS_PORT CA_PORT   istiod's part: discovery in the clear, the CA over TLS; root and a client's certificate in FOLDER
 *   pod FOLDER ADDRESS                      stdin: an injected pod; stdout: the same with what `podman kube play` lacks done by hand
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import { AdsServer } from '../src/lab/ads-server.ts'
import type { Container, JsonObject, Pod } from '../src/lab/inject/kubernetes.ts'
import { readResources } from '../src/lab/resource-files.ts'
import { CertificateAuthority } from '../test/harness/toy-ca.ts'
import { CaServer } from '../test/harness/toy-ca-server.ts'

const ISTIOD = 'istiod.istio-system.svc'
const [part = '', folder = '', address = '', adsPort = '', caPort = ''] = process.argv.slice(2)

async function plane(): Promise<void> {
  const authority = new CertificateAuthority()
  const client = authority.identity({ uris: ['spiffe://cluster.local/ns/shop/sa/visitor'], ttlMs: 3_600_000 })
  for (const [name, text] of [
    ['root.pem', authority.rootPem],
    ['client.pem', client.chain],
    ['client.key', client.key],
  ] as const)
    writeFileSync(join(folder, name), text)
  mkdirSync(join(folder, 'resources'), { recursive: true })
  writeFileSync(join(folder, 'resources/pushes.yaml'), RESOURCES)
  const ads = new AdsServer(({ kind, node, type, reason }) =>
    console.log('ads', kind, node, type.split('.').at(-1), reason),
  )
  ads.publish(readResources(join(folder, 'resources')))
  await ads.listen(`${address}:${adsPort}`)
  const ca = new CaServer({
    authority,
    authenticate: ({ token, uris }) => {
      console.log('ca', token, uris.join())
      return token === 'token-of-the-proof' ? uris[0] : undefined
    },
  })
  await ca.listen(`${address}:${caPort}`, [ISTIOD])
  console.log('plane is up')
}

/** podman has no API server: no service account tokens, no downward API as files, and few fields of it as variables. */
function playable(text: string): string {
  const pod = parseAllDocuments(text)[0]!.toJS() as Pod
  const { metadata, spec } = pod
  const lines = (map: object): string =>
    Object.entries(map)
      .map(([key, value]) => `${key}=${JSON.stringify(value)}\n`)
      .join('')
  const files: Record<string, Record<string, string>> = {
    'istio-podinfo': { labels: lines(metadata.labels ?? {}), annotations: lines(metadata.annotations ?? {}) },
    'istio-token': { 'istio-token': 'token-of-the-proof' },
    'istiod-ca-cert': { 'root-cert.pem': readFileSync(join(folder, 'root.pem'), 'utf8') },
    // The ConfigMap is optional: a mesh without revocations has no ca-crl.pem.
    'istio-ca-crl': { none: '' },
  }
  // podman 4.3 takes the limit of labels for one of annotations; the file above has them all.
  metadata.annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([, value]) => value.length <= 63),
  )
  // "once" ones are removed, which fails while their conmon lingers; so their exit status can be read as well.
  metadata.annotations['io.podman.annotations.init.container.type'] = 'always'
  spec.volumes = (spec.volumes ?? []).map(volume =>
    files[String(volume.name)] === undefined ? volume : { name: volume.name, configMap: { name: volume.name } },
  ) as JsonObject[]
  spec.hostAliases = [{ ip: address, hostnames: [ISTIOD] }]
  const fields: Record<string, string> = {
    'metadata.name': metadata.name ?? '',
    'metadata.namespace': metadata.namespace ?? '',
    'spec.serviceAccountName': spec.serviceAccountName ?? 'default',
    'spec.nodeName': 'podman',
    'status.hostIP': address,
  }
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) fill(container, fields)
  const maps = Object.entries(files).map(([name, data]) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data,
  }))
  return [...maps, pod].map(object => stringify(object, { lineWidth: 0 })).join('---\n')
}

function fill(container: Container, fields: Readonly<Record<string, string>>): void {
  const env: Container['env'] = []
  for (const variable of container.env ?? []) {
    const from = variable.valueFrom as { fieldRef?: { fieldPath: string } } | undefined
    const path = from?.fieldRef?.fieldPath
    if (from === undefined) env.push(variable)
    // Known at run time only; without it the agent asks the interfaces.
    else if (path === 'status.podIP') continue
    else if (path !== undefined) env.push({ name: variable.name, value: fields[path] ?? '' })
    else if (variable.name === 'ISTIO_CPU_LIMIT') env.push({ name: variable.name, value: '2' })
  }
  container.env = env
  const values = new Map(env.map(({ name, value }) => [name, value ?? '']))
  container.args = (container.args ?? []).map(arg =>
    arg.replace(/\$\((\w+)\)/g, (all, name) => values.get(name) ?? all),
  )
}

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'
const TCP = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'

function secret(name: string): string {
  const services = '[{ envoy_grpc: { cluster_name: sds-grpc } }]'
  const source = `{ api_type: GRPC, grpc_services: ${services}, set_node_on_first_message_only: true, transport_api_version: V3 }`
  return `{ name: ${name}, sds_config: { api_config_source: ${source}, initial_fetch_timeout: 0s, resource_api_version: V3 } }`
}

const inbound = `
    filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": ${HCM}
        stat_prefix: inbound
        server_name: istio-envoy
        forward_client_cert_details: APPEND_FORWARD
        set_current_client_cert_details: { uri: true }
        route_config:
          virtual_hosts:
          - name: all
            domains: ["*"]
            request_headers_to_add: [{ header: { key: x-through, value: "inbound of %DOWNSTREAM_LOCAL_ADDRESS%" } }]
            routes: [{ match: { prefix: / }, route: { cluster: InboundPassthroughCluster } }]
        http_filters:
        - { name: envoy.filters.http.router, typed_config: { "@type": ${ROUTER} } }`

/** The redirection's two listeners, as istiod makes them: what came in over mutual TLS or in the clear goes on to where it was sent. */
const RESOURCES = `resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: InboundPassthroughCluster
  type: ORIGINAL_DST
  lb_policy: CLUSTER_PROVIDED
  connect_timeout: 5s
  upstream_bind_config: { source_address: { address: 127.0.0.6, port_value: 0 } }
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: PassthroughCluster
  type: ORIGINAL_DST
  lb_policy: CLUSTER_PROVIDED
  connect_timeout: 5s
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: virtualInbound
  traffic_direction: INBOUND
  address: { socket_address: { address: 0.0.0.0, port_value: 15006 } }
  listener_filters:
  - name: envoy.filters.listener.original_dst
    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst }
  - name: envoy.filters.listener.tls_inspector
    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector }
  filter_chains:
  - filter_chain_match: { transport_protocol: tls }
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": ${TLS}
        require_client_certificate: true
        common_tls_context:
          tls_certificate_sds_secret_configs: [${secret('default')}]
          combined_validation_context:
            default_validation_context: { match_typed_subject_alt_names: [{ san_type: URI, matcher: { prefix: "spiffe://cluster.local/" } }] }
            validation_context_sds_secret_config: ${secret('ROOTCA')}${inbound}
  - filter_chain_match: { transport_protocol: raw_buffer }${inbound}
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: virtualOutbound
  traffic_direction: OUTBOUND
  use_original_dst: true
  address: { socket_address: { address: 0.0.0.0, port_value: 15001 } }
  filter_chains:
  - filters:
    - name: envoy.filters.network.tcp_proxy
      typed_config:
        "@type": ${TCP}
        stat_prefix: PassthroughCluster
        cluster: PassthroughCluster
        access_log:
        - name: envoy.access_loggers.file
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
            path: /dev/stdout
            log_format: { text_format_source: { inline_string: "outbound to %UPSTREAM_HOST%\\n" } }
`

if (part === 'plane') await plane()
else process.stdout.write(playable(readFileSync(0, 'utf8')))

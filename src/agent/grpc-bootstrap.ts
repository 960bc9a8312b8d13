import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AgentError } from './agent-error.ts'
import type { Env, NodeIdentity } from './node-identity.ts'

/** GRPC_XDS_BOOTSTRAP: where applications with xDS in their gRPC library (proxyless) look for their bootstrap; empty: none. */
export function grpcBootstrapPath(env: Env): string {
  return env.GRPC_XDS_BOOTSTRAP ?? './etc/istio/proxy/grpc-bootstrap.json'
}

export interface GrpcBootstrapOptions {
  readonly node: NodeIdentity
  /** The relay's socket. */
  readonly xdsSocket: string
  /** OUTPUT_CERTS; empty: the application gets no certificates. */
  readonly certificates: string
}

/** The file's text, byte for byte as Istio's agent writes it (pkg/istio-agent/grpcxds). */
export function grpcBootstrap({ node, xdsSocket, certificates }: GrpcBootstrapOptions): string {
  const bootstrap = {
    xds_servers: [
      {
        server_uri: `unix:///${join(xdsSocket)}`,
        channel_creds: [{ type: 'insecure' }],
        server_features: ['xds_v3'],
      },
    ],
    node: {
      id: node.id,
      // Tells istiod to make resources for a gRPC library, not for a proxy.
      metadata: sorted({ ...typed(node.metadata), GENERATOR: 'grpc' }),
      locality: node.locality,
      UserAgentVersionType: null,
    },
    ...(certificates === '' ? {} : { certificate_providers: { default: fileWatcher(certificates) } }),
    server_listener_resource_name_template: 'xds.istio.io/grpc/lds/inbound/%s',
  }
  // Go's encoder writes these so that the text may stand in HTML.
  return JSON.stringify(bootstrap, null, 2).replaceAll(
    /[<>&\u2028\u2029]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function fileWatcher(folder: string): object {
  return {
    plugin_name: 'file_watcher',
    config: {
      certificate_file: join(folder, 'cert-chain.pem'),
      private_key_file: join(folder, 'key.pem'),
      ca_certificate_file: join(folder, 'root-cert.pem'),
      refresh_interval: '900s',
    },
  }
}

/** Replaces the file in one step: the application may be reading it. Throws AgentError. */
export function writeGrpcBootstrap(path: string, options: GrpcBootstrapOptions): void {
  const next = `${path}.${process.pid}.new`
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(next, grpcBootstrap(options), { mode: 0o644 })
    renameSync(next, path)
  } catch (error) {
    rmSync(next, { force: true })
    throw new AgentError(`failed generating gRPC XDS bootstrap: failed writing to ${path}: ${(error as Error).message}`)
  }
}

/** Part of readiness (status/grpcready): the file can be read, once, and every certificate that it names is there. */
export class GrpcReadiness {
  readonly #path: string
  #certificates: readonly string[] | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** undefined when ready, else why not. */
  check(): string | undefined {
    if (this.#certificates === undefined) {
      try {
        this.#certificates = certificatesOf(JSON.parse(readFileSync(this.#path, 'utf8')))
      } catch (error) {
        return `failed loading ${this.#path}: ${(error as Error).message}`
      }
    }
    const missing = this.#certificates.find(path => statSync(path, { throwIfNoEntry: false }) === undefined)
    return missing === undefined ? undefined : `${missing} does not exist`
  }
}

interface Bootstrap {
  readonly certificate_providers?: Readonly<
    Record<string, { readonly plugin_name?: string; readonly config?: Readonly<Record<string, string>> }>
  >
}

function certificatesOf(bootstrap: Bootstrap): string[] {
  const provider = Object.values(bootstrap.certificate_providers ?? {}).find(
    ({ plugin_name }) => plugin_name === 'file_watcher',
  )
  if (provider?.config === undefined) return []
  const { certificate_file, private_key_file, ca_certificate_file } = provider.config
  return [certificate_file, private_key_file, ca_certificate_file].map(path => path ?? '')
}

const TEXTS = [
  'NAME OWNER PILOT_SAN OUTLIER_LOG_PATH APP_CONTAINERS ISTIO_PROXY_SHA PROXY_CONFIG ISTIO_VERSION ISTIO_REVISION LABELS',
  'STATIC_LABELS ANNOTATIONS INSTANCE_IPS NAMESPACE NODE_NAME WORKLOAD_NAME INTERCEPTION_MODE SERVICE_ACCOUNT HTTP_PROXY_PORT',
  'MESH_ID CLUSTER_ID NETWORK REQUESTED_NETWORK_VIEW TLS_SERVER_CERT_CHAIN TLS_SERVER_KEY TLS_SERVER_ROOT_CERT',
  'TLS_CLIENT_CERT_CHAIN TLS_CLIENT_KEY TLS_CLIENT_ROOT_CERT BASE IDLE_TIMEOUT HTTP10 DNS_PROXY_ADDR AUTO_REGISTER_GROUP',
  'WORKLOAD_ENTRY UNPRIVILEGED_POD PLATFORM_METADATA STS_PORT ENVOY_STATUS_PORT ENVOY_PROMETHEUS_PORT ENVOY_SECURE_METRICS_PORT',
  'ENVOY_SECURE_MERGED_METRICS_PORT CLOUDRUN_ADDR METADATA_DISCOVERY WORKLOAD_IDENTITY_SOCKET_FILE',
].flatMap(line => line.split(' '))
/** Left out when false. */
const BOOLEANS = [
  'ENABLE_SELF_DISCOVERY DNS_CAPTURE DNS_AUTO_ALLOCATE ENABLE_HBONE DISABLE_HBONE_SEND EXIT_ON_ZERO_ACTIVE_CONNECTIONS',
  'INBOUND_LISTENER_EXACT_BALANCE OUTBOUND_LISTENER_EXACT_BALANCE ENVOY_SKIP_DEPRECATED_LOGS',
].flatMap(line => line.split(' '))

/** Only what istiod knows by name (model.BootstrapNodeMetadata), and of that nothing empty; the proxy's node has the rest too. */
function typed(metadata: NodeIdentity['metadata']): Record<string, unknown> {
  const known: Record<string, unknown> = {}
  for (const key of TEXTS) if (metadata[key] !== undefined && metadata[key] !== '') known[key] = metadata[key]
  for (const key of BOOLEANS) if (metadata[key] === 'true') known[key] = 'true'
  if (typeof metadata.POD_PORTS === 'string') known.POD_PORTS = podPorts(metadata.POD_PORTS)
  return known
}

function podPorts(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

/** Keys of a protobuf Struct are sorted at every level. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]))
}

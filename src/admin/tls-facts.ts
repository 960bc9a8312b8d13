import type { envoy } from '../config/gen/messages.d.ts'
import type { SecretSource } from '../config/services.ts'
import { type TransportLayer, transportLayers } from '../io/transport-sockets/layers.ts'
import type { Server } from '../server/server.ts'
import type { PemFact, TlsContextFact } from './certs.ts'
import { allListeners } from './server-facts.ts'

type Common = envoy.extensions.transport_sockets.tls.v3.CommonTlsContext
type Validation = envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext
type TransportSocket = envoy.config.core.v3.TransportSocket
type DataSource = envoy.config.core.v3.DataSource

const NO_LAYER: TransportLayer = { typeUrl: '', config: null }

/** A parsed TLS transport socket (DownstreamTlsConfig, UpstreamTlsConfig): the bytes in use, read when it was configured. */
interface ParsedTls {
  readonly certificates?: readonly { readonly chain: Uint8Array }[]
  readonly validation?: Validation | null
}

/** The TLS contexts of the server: one per filter chain and cluster that has one. */
export function tlsFacts(server: Server): TlsContextFact[] {
  const out: TlsContextFact[] = []
  const { secrets, clusters } = server.resources
  const paths = staticCaPaths(server)
  const add = (proto: TransportSocket | undefined, parsed: TransportLayer | null | undefined): void => {
    let socket = proto
    for (const { config } of transportLayers(parsed ?? NO_LAYER)) {
      const fact = contextFact(socket, config as ParsedTls | null, secrets, paths)
      if (fact !== null) out.push(fact)
      socket = (socket?.typed_config?.message as { transport_socket?: TransportSocket } | undefined)?.transport_socket
    }
  }
  for (const { proto, config } of allListeners(server)) {
    const chains = proto.filter_chains ?? []
    chains.forEach((chain, i) => {
      add(chain.transport_socket, config.filterChains[i]?.transportSocket)
    })
    add(proto.default_filter_chain?.transport_socket, config.defaultFilterChain?.transportSocket)
  }
  for (const { kept, config } of clusters.active.values()) {
    const proto = kept.message() as envoy.config.cluster.v3.Cluster
    add(proto.transport_socket, config.transportSocket)
    const matches = proto.transport_socket_matches ?? []
    matches.forEach((match, i) => {
      add(match.transport_socket, config.transportSocketMatches[i]?.transportSocket)
    })
  }
  return out
}

/** Null: not TLS, or a secret it needs has not arrived. */
function contextFact(
  socket: TransportSocket | undefined,
  parsed: ParsedTls | null | undefined,
  secrets: SecretSource,
  caPaths: ReadonlyMap<string, string>,
): TlsContextFact | null {
  const message = socket?.typed_config?.message as { common_tls_context?: Common } | undefined
  const common = message?.common_tls_context
  if (common === undefined) return null
  const chains: PemFact[] = []
  const inline = common.tls_certificates ?? []
  inline.forEach((certificate, i) => {
    const pem = parsed?.certificates?.[i]?.chain
    if (pem !== undefined) chains.push({ path: pathOf(certificate.certificate_chain), pem })
  })
  for (const { name } of common.tls_certificate_sds_secret_configs ?? []) {
    const secret = secrets.get(name ?? '')?.tlsCertificate
    if (secret === undefined) return null
    chains.push({ path: secret.source, pem: secret.certificateChain })
  }
  return { trustedCa: trustedCa(common, parsed, secrets, caPaths), chains }
}

function trustedCa(
  common: Common,
  parsed: ParsedTls | null | undefined,
  secrets: SecretSource,
  caPaths: ReadonlyMap<string, string>,
): PemFact | null {
  const combined = common.combined_validation_context
  const own = common.validation_context ?? combined?.default_validation_context
  const secretName =
    common.validation_context_sds_secret_config?.name ?? combined?.validation_context_sds_secret_config?.name
  if (secretName !== undefined && secretName !== '') {
    const ca = (secrets.get(secretName)?.validationContext as Validation | undefined)?.trusted_ca?.inline_bytes
    if (ca !== undefined) return { path: caPaths.get(secretName) ?? '<inline>', pem: ca }
  }
  const pem = parsed?.validation?.trusted_ca?.inline_bytes
  return pem === undefined ? null : { path: pathOf(own?.trusted_ca), pem }
}

/** Files of static validation secrets: the secret store keeps their bytes only. */
function staticCaPaths(server: Server): Map<string, string> {
  const paths = new Map<string, string>()
  for (const { name = '', validation_context: context } of server.bootstrap.static_resources?.secrets ?? []) {
    if (context?.trusted_ca?.filename !== undefined) paths.set(name, context.trusted_ca.filename)
  }
  return paths
}

function pathOf(source: DataSource | undefined): string {
  return source?.filename ?? '<inline>'
}

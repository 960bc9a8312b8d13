import { AgentError } from './agent-error.ts'

type Json = Record<string, unknown>

/**
 * transport_socket for a ClientTLSSettings of the ProxyConfig (networking/v1alpha3/destination_rule.proto), with its
 * certificates from the agent's SDS server; undefined for DISABLE. `metadata` TLS_CLIENT_* replaces the paths of the
 * settings. Throws AgentError for a mode that does not exist.
 */
export function clientTls(
  settings: unknown,
  defaultSni: string,
  http2: boolean,
  metadata: Readonly<Json>,
): Json | undefined {
  const tls = (settings ?? {}) as Json
  const mode = tls.mode ?? 'DISABLE'
  const path = (name: string, field: string): string => String(metadata[name] ?? tls[field] ?? '')
  let certificate = ''
  let root = 'ROOTCA'
  let sni = String(tls.sni ?? '')
  switch (mode) {
    case 'DISABLE':
      return undefined
    case 'SIMPLE':
    case 'MUTUAL': {
      const ca = path('TLS_CLIENT_ROOT_CERT', 'caCertificates')
      root = ca === '' ? '' : `file-root:${ca}`
      const chain = path('TLS_CLIENT_CERT_CHAIN', 'clientCertificate')
      const key = path('TLS_CLIENT_KEY', 'privateKey')
      if (mode === 'MUTUAL' && chain !== '' && key !== '') certificate = `file-cert:${chain}~${key}`
      break
    }
    case 'ISTIO_MUTUAL':
      certificate = 'default'
      if (sni === '') sni = defaultSni
      break
    default:
      throw new AgentError(`tlsSettings.mode: "${String(mode)}" is not DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL`)
  }
  const names = (tls.subjectAltNames ?? []) as string[]
  const alpn = mode === 'ISTIO_MUTUAL' ? ['istio', 'h2'] : ['h2']
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      common_tls_context: {
        ...(http2 ? { alpn_protocols: alpn } : {}),
        combined_validation_context: {
          default_validation_context:
            names.length === 0 ? {} : { match_subject_alt_names: names.map(exact => ({ exact })) },
          validation_context_sds_secret_config: sdsSecret(root),
        },
        ...(certificate === '' ? {} : { tls_certificate_sds_secret_configs: [sdsSecret(certificate)] }),
      },
      ...(sni === '' ? {} : { sni }),
    },
  }
}

/** A secret that the agent's SDS server gives out under this name. */
export function sdsSecret(name: string): Json {
  return {
    name,
    sds_config: {
      api_config_source: {
        api_type: 'GRPC',
        grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
        set_node_on_first_message_only: true,
        transport_api_version: 'V3',
      },
      resource_api_version: 'V3',
    },
  }
}

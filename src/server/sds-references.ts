import type { envoy } from '../config/gen/messages.d.ts'

export interface SecretReference {
  readonly name: string
  /** Envoy's name of the subscription. */
  readonly api: string
  readonly source: envoy.config.core.v3.ConfigSource
}

interface SdsSecretConfig {
  readonly name?: string
  readonly sds_config?: envoy.config.core.v3.ConfigSource
}

/**
 * Secrets a listener or cluster gets by SDS, wherever in its transport sockets or filters they stand: found by the field names that
 * only they have, so that a new extension with a secret needs nothing here. Names without `sds_config` are static secrets.
 */
export function sdsReferences(
  message: unknown,
  found: Map<string, SecretReference> = new Map(),
): Map<string, SecretReference> {
  if (typeof message !== 'object' || message === null || ArrayBuffer.isView(message)) return found
  if (Array.isArray(message)) {
    for (const item of message) sdsReferences(item, found)
    return found
  }
  for (const [key, value] of Object.entries(message)) {
    if (/sds_secret_configs?$|^sds_config$/.test(key)) {
      for (const item of Array.isArray(value) ? value : [value]) note(key, item as SdsSecretConfig, found)
    } else if (typeof value === 'object') sdsReferences(value, found)
  }
  return found
}

const API_OF: Readonly<Record<string, string>> = {
  tls_certificate_sds_secret_configs: 'TlsCertificateSdsApi',
  validation_context_sds_secret_config: 'CertificateValidationContextSdsApi',
  session_ticket_keys_sds_secret_config: 'TlsSessionTicketKeysSdsApi',
}

function note(field: string, config: SdsSecretConfig, found: Map<string, SecretReference>): void {
  if (config.name !== undefined && config.name !== '' && config.sds_config !== undefined) {
    found.set(config.name, {
      name: config.name,
      api: API_OF[field] ?? 'GenericSecretSdsApi',
      source: config.sds_config,
    })
  }
}

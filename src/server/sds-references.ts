import { shelfOf } from '../base/shelf.ts'
import type { envoy } from '../config/gen/messages.d.ts'

type ValidationContext = envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext

/** What a secret is wanted for: it must hold the part that goes with it. */
export interface SecretUse {
  readonly kind: 'certificate' | 'validation' | 'tickets' | 'generic'
  /** combined_validation_context: what the secret is merged into. */
  readonly base: ValidationContext | undefined
}

export interface SecretReference {
  readonly name: string
  /** Envoy's name of the subscription. */
  readonly api: string
  readonly source: envoy.config.core.v3.ConfigSource
  /** One per place it stands in. */
  readonly uses: SecretUse[]
}

interface SdsSecretConfig {
  readonly name?: string
  readonly sds_config?: envoy.config.core.v3.ConfigSource
}

/**
 * Secrets a listener or cluster gets by SDS, wherever in its transport sockets or filters they stand: found by the fields that only
 * an SdsSecretConfig has, so that a new extension with a secret needs nothing here. Names without `sds_config` are static secrets.
 */
export function sdsReferences(
  message: unknown,
  found: Map<string, SecretReference> = new Map(),
  field = '',
  parent: object = {},
): Map<string, SecretReference> {
  if (typeof message !== 'object' || message === null || ArrayBuffer.isView(message)) return found
  if (Array.isArray(message)) {
    for (const item of message) sdsReferences(item, found, field, parent)
    return found
  }
  const { name, sds_config: source } = message as SdsSecretConfig
  if (source === undefined || typeof name !== 'string') {
    const shelf = shelfOf(message)
    for (const key in message) {
      const list = shelf?.get(key)
      if (list === undefined) sdsReferences((message as Record<string, unknown>)[key], found, key, message)
      else if (list.names?.has('sds_config') !== false)
        for (const item of list) sdsReferences(item, found, key, message)
    }
    return found
  }
  if (name === '') return found
  const use = useOf(field, parent)
  const known = found.get(name)
  if (known === undefined) found.set(name, { name, api: API_OF[use.kind], source, uses: [use] })
  else known.uses.push(use)
  return found
}

const API_OF: Readonly<Record<SecretUse['kind'], string>> = {
  certificate: 'TlsCertificateSdsApi',
  validation: 'CertificateValidationContextSdsApi',
  tickets: 'TlsSessionTicketKeysSdsApi',
  generic: 'GenericSecretSdsApi',
}

function useOf(field: string, parent: { readonly default_validation_context?: ValidationContext }): SecretUse {
  switch (field) {
    case 'tls_certificate_sds_secret_configs':
      return { kind: 'certificate', base: undefined }
    case 'validation_context_sds_secret_config':
      return { kind: 'validation', base: parent.default_validation_context }
    case 'session_ticket_keys_sds_secret_config':
      return { kind: 'tickets', base: undefined }
    default:
      return { kind: 'generic', base: undefined }
  }
}

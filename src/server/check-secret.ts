import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { SecretData } from '../config/services.ts'
import { checkCertificate } from '../io/transport-sockets/tls-config.ts'
import { mergeValidation, parseValidation } from '../io/transport-sockets/validation.ts'
import type { SecretUse } from './sds-references.ts'

/** Envoy's 16 + 32 + 32 bytes. */
const TICKET_KEY_LENGTH = 80

/**
 * Whether a secret can be used for what it is wanted for, so that a bad one is refused where it comes in and the last good one stays.
 * Throws ConfigError in Envoy's words.
 */
export function checkSecret(secret: SecretData, uses: Iterable<SecretUse>, at: FieldPath): void {
  const done = new Set<string>()
  for (const { kind, base } of uses) {
    if (kind !== 'validation' && done.has(kind)) continue
    done.add(kind)
    if (kind === 'certificate') checkPair(secret, at)
    else if (kind === 'tickets') checkTickets(secret, at)
    else if (kind === 'validation') {
      const { validationContext } = secret
      if (validationContext === undefined) throw lacks(at, 'a validation_context')
      parseValidation(mergeValidation(base ?? {}, validationContext), at.field('validation_context'), [])
    } else if (secret.genericSecret === undefined) throw lacks(at, 'a generic_secret')
  }
}

function checkPair({ tlsCertificate }: SecretData, at: FieldPath): void {
  const place = at.field('tls_certificate')
  if (tlsCertificate === undefined || tlsCertificate.privateKey.length === 0) {
    throw new ConfigError('CONFIG_RESOURCE', place, 'Failed to load incomplete private key from path: ')
  }
  const { certificateChain, privateKey, password, source, keySource } = tlsCertificate
  checkCertificate({ chain: certificateChain, key: privateKey, password }, source, keySource, place)
}

function checkTickets({ sessionTicketKeys = [] }: SecretData, at: FieldPath): void {
  if (sessionTicketKeys.length === 0) throw lacks(at, 'session_ticket_keys')
  for (const [i, { length }] of sessionTicketKeys.entries()) {
    if (length === TICKET_KEY_LENGTH) continue
    const text = `Incorrect TLS session ticket key length. Length ${length}, expected length ${TICKET_KEY_LENGTH}.`
    throw new ConfigError('CONFIG_INVALID', at.field('session_ticket_keys').field('keys').index(i), text)
  }
}

/** Envoy takes the absent part for an empty one: no verification of peers, for one. */
function lacks(at: FieldPath, what: string): ConfigError {
  return new ConfigError('CONFIG_INVALID', at, `the secret has not got ${what}, which it is used for`)
}

import { existsSync } from 'node:fs'
import { bytesField, message } from './identity/proto-fields.ts'
import type { Secret } from './identity/secret.ts'

export const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
/** Mounted when the CA was plugged in together with its revocation list. */
const REVOCATION_LIST = '/var/run/secrets/istio/crl/ca-crl.pem'

/** envoy.service.discovery.v3.DiscoveryResponse {version_info = 1, resources = 2, type_url = 4, nonce = 5}. */
export function encodeSecrets(version: string, nonce: string, secrets: readonly (readonly [string, Secret])[]): Buffer {
  const resources = secrets.map(([name, secret]) =>
    // Any {type_url = 1, value = 2}
    bytesField(2, message(bytesField(1, SECRET_TYPE), bytesField(2, encodeSecret(name, secret)))),
  )
  return message(bytesField(1, version), ...resources, bytesField(4, SECRET_TYPE), bytesField(5, nonce))
}

/** Secret {name = 1, tls_certificate = 2 {chain = 1, key = 2}, validation_context = 4 {trusted_ca = 1, crl = 7}}. */
function encodeSecret(name: string, secret: Secret): Buffer {
  if (secret.kind === 'key') {
    return message(
      bytesField(1, name),
      bytesField(2, message(bytesField(1, inline(secret.chain)), bytesField(2, inline(secret.key)))),
    )
  }
  const trusted = bytesField(1, inline(secret.roots))
  // DataSource {filename = 1}
  const revoked = existsSync(REVOCATION_LIST) ? [bytesField(7, bytesField(1, REVOCATION_LIST))] : []
  return message(bytesField(1, name), bytesField(4, message(trusted, ...revoked)))
}

/** DataSource {inline_bytes = 2}. */
function inline(text: string): Buffer {
  return bytesField(2, text)
}

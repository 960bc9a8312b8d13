import type { KeyKind } from './certificate.ts'

/** BoringSSL's list for verifying, as far as certificates with these keys are concerned. */
const DEFAULTS: readonly string[] = [
  'ecdsa_secp256r1_sha256',
  'rsa_pss_rsae_sha256',
  'rsa_pkcs1_sha256',
  'ecdsa_secp384r1_sha384',
  'rsa_pss_rsae_sha384',
  'rsa_pkcs1_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pkcs1_sha512',
  'rsa_pkcs1_sha1',
  'ecdsa_secp521r1_sha512',
  'ed25519',
]

const CURVES: Readonly<Record<string, KeyKind>> = {
  ecdsa_secp256r1_sha256: 'P-256',
  ecdsa_secp384r1_sha384: 'P-384',
  ecdsa_secp521r1_sha512: 'P-521',
}

/**
 * What a peer with this kind of key signed the handshake with, by the names of BoringSSL; '' = unknown. Node does not tell. It is
 * the first of what this side asked for that the key can do (`asked` '' = the defaults): peers follow that order unless theirs is
 * configured. Elliptic curves leave no choice in TLS 1.3.
 */
export function signatureAlgorithm(asked: string, key: KeyKind, tls13: boolean): string {
  const list = asked === '' ? DEFAULTS : asked.split(':')
  for (let i = 0; i < list.length; i++) {
    const name = list[i]!
    if (fits(name, key, tls13)) return name
  }
  return ''
}

function fits(name: string, key: KeyKind, tls13: boolean): boolean {
  if (key === 'RSA') return name.startsWith('rsa_pss_rsae_') || (!tls13 && name.startsWith('rsa_pkcs1_'))
  if (key === 'Ed25519') return name === 'ed25519'
  if (!name.startsWith('ecdsa_') || key === '') return false
  // RFC 8446 §4.2.3: the curve is part of the name only since TLS 1.3.
  return !tls13 || CURVES[name] === key
}

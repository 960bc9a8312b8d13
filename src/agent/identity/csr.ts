import { type KeyObject, sign } from 'node:crypto'
import {
  bitString,
  boolean,
  context,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  pem,
  sequence,
  set,
} from './der.ts'
import type { KeyPair } from './key-pair.ts'

const SUBJECT_ALT_NAME = '2.5.29.17'
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'
const URI_NAME = 6

/** `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT` (istio pkg/spiffe). */
export function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`
}

/**
 * A PKCS#10 request (RFC 2986) in PEM for one URI name. The subject is empty, which is why the name is critical
 * (RFC 5280 4.2.1.6).
 */
export function certificateRequest(pair: KeyPair, uri: string): string {
  const names = sequence(context(URI_NAME, Buffer.from(uri, 'latin1'), false))
  const extensions = sequence(sequence(objectIdentifier(SUBJECT_ALT_NAME), boolean(true), octetString(names)))
  const info = sequence(
    integer(0),
    sequence(),
    pair.publicKey.export({ type: 'spki', format: 'der' }),
    context(0, sequence(objectIdentifier(EXTENSION_REQUEST), set(extensions)), true),
  )
  return pem('CERTIFICATE REQUEST', signed(info, pair.privateKey))
}

/** SIGNED{…}: the content, the algorithm, the signature. For requests and certificates. RSA and the P curves only. */
export function signed(content: Buffer, key: KeyObject): Buffer {
  const { algorithm, hash } = signatureAlgorithm(key)
  return sequence(content, algorithm, bitString(sign(hash, content, key)))
}

/** AlgorithmIdentifier and the hash it stands for: the one as strong as the key. */
export function signatureAlgorithm(key: KeyObject): { algorithm: Buffer; hash: string } {
  if (key.asymmetricKeyType === 'rsa') {
    return { algorithm: sequence(objectIdentifier('1.2.840.113549.1.1.11'), nullValue()), hash: 'sha256' }
  }
  if (key.asymmetricKeyDetails?.namedCurve === 'secp384r1') {
    return { algorithm: sequence(objectIdentifier('1.2.840.10045.4.3.3')), hash: 'sha384' }
  }
  return { algorithm: sequence(objectIdentifier('1.2.840.10045.4.3.2')), hash: 'sha256' }
}

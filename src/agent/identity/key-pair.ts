import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { AgentError } from '../agent-error.ts'

const generate = promisify(generateKeyPair) as (
  type: 'rsa' | 'ec',
  options: object,
) => Promise<{ publicKey: KeyObject; privateKey: KeyObject }>

/** What key a workload gets: RSA, or EC when ECC_SIGNATURE_ALGORITHM says so. */
export type KeyKind = { readonly type: 'rsa'; readonly bits: number } | { readonly type: 'ec'; readonly curve: Curve }
export type Curve = 'P256' | 'P384'

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  readonly kind: KeyKind
}

/** Istio's own limit (security/pkg/pki/util/generate_csr.go). */
const MINIMUM_RSA_BITS = 2048
const MAXIMUM_RSA_BITS = 16384

/**
 * From WORKLOAD_RSA_KEY_SIZE, ECC_SIGNATURE_ALGORITHM and ECC_CURVE. Throws AgentError for what no key can be made of;
 * a curve that is not P384 is P256, as in Istio.
 */
export function keyKind(rsaBits: number, eccAlgorithm: string, eccCurve: string): KeyKind {
  if (eccAlgorithm !== '') {
    if (eccAlgorithm !== 'ECDSA') {
      throw new AgentError(`ECC_SIGNATURE_ALGORITHM=${eccAlgorithm}: only ECDSA is supported`)
    }
    return { type: 'ec', curve: eccCurve === 'P384' ? 'P384' : 'P256' }
  }
  if (!Number.isInteger(rsaBits) || rsaBits < MINIMUM_RSA_BITS || rsaBits > MAXIMUM_RSA_BITS) {
    throw new AgentError(
      `requested key size does not meet the minimum required size of ${MINIMUM_RSA_BITS} (requested: ${rsaBits})`,
    )
  }
  return { type: 'rsa', bits: rsaBits }
}

/** On the thread pool: an RSA key takes a good part of a second, and probes are to be answered meanwhile. */
export async function newKeyPair(kind: KeyKind): Promise<KeyPair> {
  const pair =
    kind.type === 'rsa'
      ? await generate('rsa', { modulusLength: kind.bits })
      : await generate('ec', { namedCurve: kind.curve === 'P384' ? 'secp384r1' : 'prime256v1' })
  return { ...pair, kind }
}

/** PEM: PKCS#8 (`PRIVATE KEY`), or the older form of its kind (`RSA PRIVATE KEY`, `EC PRIVATE KEY`), Istio's default. */
export function privateKeyPem(pair: KeyPair, pkcs8: boolean): string {
  const type = pkcs8 ? 'pkcs8' : pair.kind.type === 'rsa' ? 'pkcs1' : 'sec1'
  return pair.privateKey.export({ type, format: 'pem' }) as string
}

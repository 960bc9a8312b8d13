import type { KeyObject } from 'node:crypto'
import { lazyCrypto } from '../../../base/lazy-modules.ts'
import { decodeBase64Url, type Jwt, parseObject } from './jwt.ts'
import { JwtStatus, type JwtStatusName } from './status.ts'

type Fields = Readonly<Record<string, unknown>>

/** One public key, or the secret of an HMAC. */
interface Key {
  readonly kty: string
  readonly kid: string
  readonly alg: string
  readonly key: KeyObject
}

/** A JSON Web Key Set (RFC 7517), or an object of key ids with PEM certificates. */
export class Jwks {
  readonly keys: readonly Key[]
  /** A JwtStatus: why it cannot be used, or Ok. */
  readonly status: number

  constructor(text: string) {
    const keys: Key[] = []
    this.status = JwtStatus[readKeys(text, keys)]
    this.keys = keys
  }

  /** Checks the signature with the keys that fit (source/common/jwt/verify.cc). @returns a JwtStatus */
  verify(jwt: Jwt): number {
    let fits = false
    for (const key of this.keys) {
      if (jwt.kid !== '' && key.kid !== '' && key.kid !== jwt.kid) continue
      if (key.alg !== '' && key.alg !== jwt.alg) continue
      fits = true
      if (key.kty === 'OKP' && jwt.signature.length !== 64) return JwtStatus.JwtEd25519SignatureWrongLength
      if (verifies(key, jwt)) return JwtStatus.Ok
    }
    return fits ? JwtStatus.JwtVerificationFail : JwtStatus.JwksKidAlgMismatch
  }
}

function verifies(key: Key, jwt: Jwt): boolean {
  const data = Buffer.from(jwt.signed, 'latin1')
  const hash = jwt.alg.endsWith('384') ? 'sha384' : jwt.alg.endsWith('512') ? 'sha512' : 'sha256'
  const family = jwt.alg.slice(0, 2)
  switch (key.kty) {
    case 'RSA':
      if (family === 'RS') return lazyCrypto().verify(hash, data, key.key, jwt.signature)
      if (family !== 'PS') return false
      return lazyCrypto().verify(
        hash,
        data,
        { key: key.key, padding: lazyCrypto().constants.RSA_PKCS1_PSS_PADDING },
        jwt.signature,
      )
    case 'EC':
      return lazyCrypto().verify(hash, data, { key: key.key, dsaEncoding: 'ieee-p1363' }, jwt.signature)
    case 'OKP':
      return lazyCrypto().verify(null, data, key.key, jwt.signature)
    default: {
      const mac = lazyCrypto().createHmac(hash, key.key).update(data).digest()
      return mac.length === jwt.signature.length && lazyCrypto().timingSafeEqual(mac, jwt.signature)
    }
  }
}

function readKeys(text: string, keys: Key[]): JwtStatusName {
  const set = parseObject(Buffer.from(text, 'utf8'))
  if (set === null) return 'JwksParseError'
  if (!Object.hasOwn(set, 'keys')) return readCertificates(set, keys)
  if (!Array.isArray(set['keys'])) return 'JwksBadKeys'
  for (const entry of set['keys'] as unknown[]) {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) continue
    const key = readKey(entry as Fields)
    // The first key that cannot be read makes the whole set unusable, as in Envoy.
    if (typeof key === 'string') return key
    keys.push(key)
  }
  return keys.length === 0 ? 'JwksNoValidKeys' : 'Ok'
}

function readCertificates(set: Fields, keys: Key[]): JwtStatusName {
  const entries = Object.entries(set)
  if (entries.length === 0 || entries.some(([kid, pem]) => kid === '' || typeof pem !== 'string' || pem === '')) {
    return 'JwksNoKeys'
  }
  for (const [kid, pem] of entries) {
    try {
      keys.push({ kty: 'RSA', kid, alg: '', key: new (lazyCrypto().X509Certificate)(pem as string).publicKey })
    } catch {
      return 'JwksX509ParseError'
    }
  }
  return 'Ok'
}

function readKey(fields: Fields): Key | JwtStatusName {
  const kty = fields['kty']
  if (kty === undefined) return 'JwksMissingKty'
  if (typeof kty !== 'string') return 'JwksBadKty'
  const kid = typeof fields['kid'] === 'string' ? fields['kid'] : ''
  const alg = typeof fields['alg'] === 'string' ? fields['alg'] : null
  const key =
    kty === 'RSA'
      ? rsaKey(fields, alg)
      : kty === 'EC'
        ? ecKey(fields, alg)
        : kty === 'oct'
          ? secret(fields, alg)
          : kty === 'OKP'
            ? edwardsKey(fields, alg)
            : 'JwksNotImplementedKty'
  return typeof key === 'string' ? key : { kty, kid, alg: alg ?? '', key }
}

function rsaKey(fields: Fields, alg: string | null): KeyObject | JwtStatusName {
  if (alg !== null && !alg.startsWith('RS') && !alg.startsWith('PS')) return 'JwksRsaBadAlg'
  const { n, e } = fields
  if (n === undefined) return 'JwksRsaMissingN'
  if (typeof n !== 'string') return 'JwksRsaBadN'
  if (e === undefined) return 'JwksRsaMissingE'
  if (typeof e !== 'string') return 'JwksRsaBadE'
  const exponent = decodeBase64Url(e)
  // Only the two usual exponents.
  const usual = exponent !== null && /^0*(3|10001)$/.test(exponent.toString('hex'))
  if (!usual || decodeBase64Url(n) === null) return 'JwksRsaParseError'
  return publicKey({ kty: 'RSA', n, e }) ?? 'JwksRsaParseError'
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }

function ecKey(fields: Fields, alg: string | null): KeyObject | JwtStatusName {
  if (alg !== null && !alg.startsWith('ES')) return 'JwksEcBadAlg'
  const { x, y } = fields
  const named = fields['crv'] ?? ''
  if (typeof named !== 'string') return 'JwksEcBadCrv'
  let crv = named
  if (alg !== null && crv !== '' && CURVES[alg] !== crv) return 'JwksEcAlgNotCompatible'
  if (crv === '') crv = alg === null ? 'P-256' : (CURVES[alg] ?? '')
  if (!Object.values(CURVES).includes(crv)) return 'JwksEcUnsupported'
  if (x === undefined) return 'JwksEcMissingX'
  if (typeof x !== 'string') return 'JwksEcBadX'
  if (y === undefined) return 'JwksEcMissingY'
  if (typeof y !== 'string') return 'JwksEcBadY'
  if (decodeBase64Url(x) === null || decodeBase64Url(y) === null) return 'JwksEcXorYBadBase64'
  return publicKey({ kty: 'EC', crv, x, y }) ?? 'JwksEcParseError'
}

function secret(fields: Fields, alg: string | null): KeyObject | JwtStatusName {
  if (alg !== null && !['HS256', 'HS384', 'HS512'].includes(alg)) return 'JwksOctBadAlg'
  const { k } = fields
  if (k === undefined) return 'JwksOctMissingK'
  if (typeof k !== 'string') return 'JwksOctBadK'
  const bytes = decodeBase64Url(k)
  return bytes === null || bytes.length === 0 ? 'JwksOctBadBase64' : lazyCrypto().createSecretKey(bytes)
}

function edwardsKey(fields: Fields, alg: string | null): KeyObject | JwtStatusName {
  if (alg !== null && alg !== 'EdDSA') return 'JwksOkpBadAlg'
  const { crv, x } = fields
  if (crv === undefined) return 'JwksOkpMissingCrv'
  if (typeof crv !== 'string') return 'JwksOkpBadCrv'
  if (crv !== 'Ed25519') return 'JwksOkpUnsupported'
  if (x === undefined) return 'JwksOkpMissingX'
  if (typeof x !== 'string') return 'JwksOkpBadX'
  const bytes = decodeBase64Url(x)
  if (bytes === null) return 'JwksOkpXBadBase64'
  return (bytes.length === 32 ? publicKey({ kty: 'OKP', crv, x }) : null) ?? 'JwksOkpXWrongLength'
}

function publicKey(jwk: Record<string, string>): KeyObject | null {
  try {
    return lazyCrypto().createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    return null
  }
}

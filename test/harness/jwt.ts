import crypto, { constants } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

type Jwk = Readonly<Record<string, string>>
type KeyName = 'rsa' | 'p256' | 'p384' | 'ed' | 'oct' | 'stranger'

/** Test keys, private parts included: good for nothing else. */
const KEYS = JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/jwt/keys.json'), 'utf8')) as Readonly<
  Record<KeyName, Jwk>
>

/** The year 2100. */
export const FAR = 4102444800

/** A key set with the public parts of these keys, `kid` = their name; extra fields by name. */
export function keySet(names: readonly KeyName[], extra: Readonly<Partial<Record<KeyName, Jwk>>> = {}): string {
  const keys = names.map(name => ({ ...publicPart(KEYS[name]), kid: name, ...extra[name] }))
  return JSON.stringify({ keys })
}

function publicPart(jwk: Jwk): Jwk {
  const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...rest } = jwk
  return rest
}

/** A signed token. RS, HS and EdDSA give the same text each time. */
export function token(alg: string, key: KeyName, payload: object, header: object = {}): string {
  const signed = `${encode({ alg, kid: key, typ: 'JWT', ...header })}.${encode(payload)}`
  return `${signed}.${sign(alg, key, Buffer.from(signed)).toString('base64url')}`
}

export function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

function sign(alg: string, name: KeyName, data: Buffer): Buffer {
  const jwk = KEYS[name]
  const hash = `sha${alg.slice(2)}`
  if (jwk['kty'] === 'oct') {
    return crypto.createHmac(hash, Buffer.from(jwk['k']!, 'base64url')).update(data).digest()
  }
  const key = crypto.createPrivateKey({ key: jwk, format: 'jwk' })
  if (alg === 'EdDSA') return crypto.sign(null, data, key)
  if (alg.startsWith('ES')) return crypto.sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
  if (alg.startsWith('RS')) return crypto.sign(hash, data, key)
  return crypto.sign(hash, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })
}

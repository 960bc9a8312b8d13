import crypto from 'node:crypto'
import { encode, FAR, keySet, token } from '../harness/jwt.ts'

/** The issuer of the recorded cluster's service account tokens, whom its RequestAuthentication trusts too. */
export const ISSUER = 'https://lab.invalid/sa-issuer'
/** The modulus of that issuer's key, `kid` lab, as the pushes hold it; nobody has the private part. */
const RECORDED_MODULUS =
  'tTf6gUcghuhFySEVEuRiTqg8kK-PjlzuY4JBx4LWlRw6y3-A-_STrou2NcWXUO0bb0FmMzW7WiTmt4C5YW1eQZHXa9KDMY5ijshyOv4ia050ony7cC1w17QfQ7b7PhocCfOrHd5M6RdrF7KiroLUFRrmL3OLU2w7pnGgFHa36wVzwhBO9nLbfK0gmsRVbOkjKdWW9B1gJLeWq53YuOMYVpdd8d-SF2veJ3rL1MDjLcGnwH64whdND81dSBwhCA2DZ-62sIjm-4pQKoFlYMTRc8yu6EX3-_T-SVgJpjPMAedVERJ8stkW_Jms46l2t4JGVb7LSCyssHGIGQaEuGLXCQ'
const KEY = (JSON.parse(keySet(['rsa'])) as { keys: [Record<string, string>] }).keys[0]

/** A token of the cluster's issuer. */
export function serviceAccountToken(account: string, more: object = {}): string {
  const claims = { iss: ISSUER, aud: ['istio-ca'], sub: `system:serviceaccount:demo:${account}`, exp: FAR, ...more }
  return token('RS256', 'rsa', claims, { kid: 'lab' })
}

/** The SPIFFE identity that a bearer of this token has; undefined: the token is none of this cluster's. */
export function identityOf(bearer: string): string | undefined {
  const [head = '', payload = '', signature = ''] = bearer.split('.')
  if (head !== encode({ alg: 'RS256', kid: 'lab', typ: 'JWT' })) return undefined
  const key = crypto.createPublicKey({ key: KEY, format: 'jwk' })
  const signed = Buffer.from(`${head}.${payload}`)
  if (!crypto.verify('sha256', signed, key, Buffer.from(signature, 'base64url'))) return undefined
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: string; aud: string[] }
  const [, account] = /^system:serviceaccount:demo:(.+)$/.exec(claims.sub) ?? []
  if (account === undefined || !claims.aud.includes('istio-ca')) return undefined
  return `spiffe://cluster.local/ns/demo/sa/${account}`
}

/** The one thing of a push that is not as it was recorded: the issuer's key is one that tests can sign with. In place: it is as long. */
export function withOwnKey(push: Buffer): Buffer {
  for (let at = push.indexOf(RECORDED_MODULUS); at !== -1; at = push.indexOf(RECORDED_MODULUS, at + 1)) {
    push.write(KEY['n']!, at, 'latin1')
  }
  return push
}

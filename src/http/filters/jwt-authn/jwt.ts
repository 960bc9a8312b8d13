import { JwtStatus } from './status.ts'

type Json = Readonly<Record<string, unknown>>

const ALGORITHMS = new Set([
  ...['ES256', 'ES384', 'ES512', 'HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512'],
  ...['PS256', 'PS384', 'PS512', 'EdDSA'],
])
const UTF8 = new TextDecoder('utf-8', { fatal: true })
const UINT64 = 2 ** 64

/** A JSON Web Token (RFC 7519), decoded and not verified. Times are seconds since the epoch, 0 = absent. */
export class Jwt {
  header: Json = {}
  payload: Json = {}
  /** As it came, base64url. */
  payloadText = ''
  /** What the signature is over. */
  signed = ''
  signature: Uint8Array = new Uint8Array(0)
  alg = ''
  kid = ''
  iss = ''
  sub = ''
  nbf = 0
  exp = 0
  audiences: readonly string[] = []

  /** Fills the fields from `token`. @returns a JwtStatus; the checks come in Envoy's order */
  parse(token: string): number {
    const parts = token.split('.').filter(part => part !== '')
    if (parts.length !== 3) return JwtStatus.JwtBadFormat
    const [head = '', body = '', signature = ''] = parts
    const header = decodeBase64Url(head)
    if (header === null) return JwtStatus.JwtHeaderBadBase64
    const headerJson = parseObject(header)
    if (headerJson === null) return JwtStatus.JwtHeaderBadJson
    this.header = headerJson
    const alg = own(headerJson, 'alg')
    if (typeof alg !== 'string') return JwtStatus.JwtHeaderBadAlg
    if (!ALGORITHMS.has(alg)) return JwtStatus.JwtHeaderNotImplementedAlg
    this.alg = alg
    const kid = own(headerJson, 'kid')
    if (kid !== undefined && typeof kid !== 'string') return JwtStatus.JwtHeaderBadKid
    this.kid = kid ?? ''
    this.payloadText = body
    this.signed = `${head}.${body}`
    const payload = decodeBase64Url(body)
    if (payload === null) return JwtStatus.JwtPayloadBadBase64
    const payloadJson = parseObject(payload)
    if (payloadJson === null) return JwtStatus.JwtPayloadBadJson
    this.payload = payloadJson
    const status = this.#claims(payloadJson)
    if (status !== JwtStatus.Ok) return status
    const bytes = decodeBase64Url(signature)
    if (bytes === null) return JwtStatus.JwtSignatureBadBase64
    this.signature = bytes
    return JwtStatus.Ok
  }

  #claims(payload: Json): number {
    const iss = own(payload, 'iss')
    if (iss !== undefined && typeof iss !== 'string') return JwtStatus.JwtIssNotString
    this.iss = iss ?? ''
    const sub = own(payload, 'sub')
    if (sub !== undefined && typeof sub !== 'string') return JwtStatus.JwtSubNotString
    this.sub = sub ?? ''
    const iat = seconds(own(payload, 'iat'))
    if (iat < 0) return iat === NOT_A_NUMBER ? JwtStatus.JwtIatNotInteger : JwtStatus.JwtIatOutOfRange
    this.nbf = seconds(own(payload, 'nbf'))
    if (this.nbf < 0) return this.nbf === NOT_A_NUMBER ? JwtStatus.JwtNbfNotInteger : JwtStatus.JwtNbfOutOfRange
    this.exp = seconds(own(payload, 'exp'))
    if (this.exp < 0) return this.exp === NOT_A_NUMBER ? JwtStatus.JwtExpNotInteger : JwtStatus.JwtExpOutOfRange
    const jti = own(payload, 'jti')
    if (jti !== undefined && typeof jti !== 'string') return JwtStatus.JwtJtiNotString
    const aud = own(payload, 'aud')
    if (aud === undefined) this.audiences = []
    else if (typeof aud === 'string') this.audiences = [aud]
    else if (Array.isArray(aud) && aud.every(item => typeof item === 'string')) this.audiences = aud as string[]
    else return JwtStatus.JwtAudNotString
    return JwtStatus.Ok
  }

  /** `now` and `skew` in seconds. */
  checkTime(now: number, skew: number): number {
    if (now + skew < this.nbf) return JwtStatus.JwtNotYetValid
    return this.exp !== 0 && now > this.exp + skew ? JwtStatus.JwtExpired : JwtStatus.Ok
  }
}

const NOT_A_NUMBER = -1
const OUT_OF_RANGE = -2

/** A fraction is cut off, as a cast does. */
function seconds(value: unknown): number {
  if (value === undefined) return 0
  if (typeof value !== 'number') return NOT_A_NUMBER
  return value < 0 || value >= UINT64 ? OUT_OF_RANGE : Math.floor(value)
}

/** Null for anything that is not base64url (RFC 4648 §5, padding allowed); Node would skip foreign characters. */
export function decodeBase64Url(text: string): Buffer | null {
  if (!/^[A-Za-z0-9_-]*={0,2}$/.test(text)) return null
  const bare = text.replace(/=+$/, '')
  return bare.length % 4 === 1 ? null : Buffer.from(bare, 'base64url')
}

export function parseObject(bytes: Uint8Array): Json | null {
  try {
    const value: unknown = JSON.parse(UTF8.decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null
  } catch {
    return null
  }
}

function own(object: Json, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

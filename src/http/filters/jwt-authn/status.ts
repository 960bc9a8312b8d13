/**
 * Outcomes of reading and verifying a token, in the order of Envoy's JwtVerify::Status (source/common/jwt/status.h): the number is
 * `code` of failed_status_in_metadata, the text is the response body.
 */
const STATUSES = [
  ['Ok', 'OK'],
  ['JwtMissed', 'Jwt is missing'],
  ['JwtNotYetValid', 'Jwt not yet valid'],
  ['JwtExpired', 'Jwt is expired'],
  ['JwtBadFormat', 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections'],
  ['JwtHeaderBadBase64', 'Jwt header is an invalid Base64url encoded'],
  ['JwtHeaderBadJson', 'Jwt header is an invalid JSON'],
  ['JwtHeaderBadAlg', 'Jwt header [alg] field is required and must be a string'],
  ['JwtHeaderNotImplementedAlg', 'Jwt header [alg] is not supported'],
  ['JwtHeaderBadKid', 'Jwt header [kid] field is not a string'],
  ['JwtPayloadBadBase64', 'Jwt payload is an invalid Base64url encoded'],
  ['JwtPayloadBadJson', 'Jwt payload is an invalid JSON'],
  ['JwtIssNotString', 'Jwt payload [iss] field is not a string'],
  ['JwtSubNotString', 'Jwt payload [sub] field is not a string'],
  ['JwtIatNotInteger', 'Jwt payload [iat] field is not an integer'],
  ['JwtIatOutOfRange', 'Jwt payload [iat] field is not a positive 64 bit integer'],
  ['JwtNbfNotInteger', 'Jwt payload [nbf] field is not an integer'],
  ['JwtNbfOutOfRange', 'Jwt payload [nbf] field is not a positive 64 bit integer'],
  ['JwtExpNotInteger', 'Jwt payload [exp] field is not an integer'],
  ['JwtExpOutOfRange', 'Jwt payload [exp] field is not a positive 64 bit integer'],
  ['JwtJtiNotString', 'Jwt payload [jti] field is not a string'],
  ['JwtAudNotString', 'Jwt payload [aud] field is not a string or string list'],
  ['JwtSignatureBadBase64', 'Jwt signature is an invalid Base64url encoded'],
  ['JwtEd25519SignatureWrongLength', 'Jwt ED25519 signature is wrong length'],
  ['JwtUnknownIssuer', 'Jwt issuer is not configured'],
  ['JwtAudienceNotAllowed', 'Audiences in Jwt are not allowed'],
  ['JwtVerificationFail', 'Jwt verification fails'],
  ['JwtMultipleTokens', 'Found multiple Jwt tokens'],
  ['JwksParseError', 'Jwks is an invalid JSON'],
  ['JwksNoKeys', 'Jwks does not have [keys] field'],
  ['JwksBadKeys', '[keys] in Jwks is not an array'],
  ['JwksNoValidKeys', "Jwks doesn't have any valid public key"],
  ['JwksKidAlgMismatch', "Jwks doesn't have key to match kid or alg from Jwt"],
  ['JwksRsaParseError', 'Jwks RSA [n] or [e] field is missing or has a parse error'],
  ['JwksEcCreateKeyFail', 'Jwks EC create key fail'],
  ['JwksEcXorYBadBase64', 'Jwks EC [x] or [y] field is an invalid Base64.'],
  ['JwksEcParseError', 'Jwks EC [x] and [y] fields have a parse error.'],
  ['JwksOctBadBase64', 'Jwks Oct key is an invalid Base64'],
  ['JwksOkpXBadBase64', 'Jwks OKP [x] field is an invalid Base64.'],
  ['JwksOkpXWrongLength', 'Jwks OKP [x] field is wrong length.'],
  ['JwksFetchFail', 'Jwks remote fetch is failed'],
  ['JwksMissingKty', '[kty] is missing in [keys]'],
  ['JwksBadKty', '[kty] is bad in [keys]'],
  ['JwksNotImplementedKty', '[kty] is not supported in [keys]'],
  ['JwksRsaBadAlg', '[alg] is not started with [RS] or [PS] for an RSA key'],
  ['JwksRsaMissingN', '[n] field is missing for a RSA key'],
  ['JwksRsaBadN', '[n] field is not string for a RSA key'],
  ['JwksRsaMissingE', '[e] field is missing for a RSA key'],
  ['JwksRsaBadE', '[e] field is not string for a RSA key'],
  ['JwksEcBadAlg', '[alg] is not started with [ES] for an EC key'],
  ['JwksEcBadCrv', '[crv] field is not string for an EC key'],
  ['JwksEcUnsupported', '[crv] or [alg] field is not supported for an EC key'],
  ['JwksEcAlgNotCompatible', '[crv] field specified is not compatible with [alg] for an EC key'],
  ['JwksEcMissingX', '[x] field is missing for an EC key'],
  ['JwksEcBadX', '[x] field is not string for an EC key'],
  ['JwksEcMissingY', '[y] field is missing for an EC key'],
  ['JwksEcBadY', '[y] field is not string for an EC key'],
  ['JwksOctBadAlg', '[alg] does not start with [HS] for an HMAC key'],
  ['JwksOctMissingK', '[k] field is missing for an HMAC key'],
  ['JwksOctBadK', '[k] field is not string for an HMAC key'],
  ['JwksOkpBadAlg', '[alg] is not [EdDSA] for an OKP key'],
  ['JwksOkpMissingCrv', '[crv] field is missing for an OKP key'],
  ['JwksOkpBadCrv', '[crv] field is not string for an OKP key'],
  ['JwksOkpUnsupported', '[crv] field is not supported for an OKP key'],
  ['JwksOkpMissingX', '[x] field is missing for an OKP key'],
  ['JwksOkpBadX', '[x] field is not string for an OKP key'],
  ['JwksX509WriteError', 'X509 parse pubkey internal fails: memory allocation'],
  ['JwksX509ParseError', 'X509 parse pubkey fails'],
] as const

export type JwtStatusName = (typeof STATUSES)[number][0]

/** Number of each status. */
export const JwtStatus = Object.fromEntries(STATUSES.map(([name], i) => [name, i])) as Readonly<
  Record<JwtStatusName, number>
>

export function statusText(status: number): string {
  return STATUSES[status]![1]
}

/**
 * Envoy's `transport failure reason` of TLS: `TLS_error:|<code>:SSL routines:OPENSSL_internal:<REASON>[:<detail>]:TLS_error_end`,
 * where the code is BoringSSL's (library 16 in the high byte). Node has OpenSSL, whose reasons are named a little differently.
 */
const SSL_LIBRARY = 0x10000000

/** ssl.h of BoringSSL. */
const REASONS: Readonly<Record<string, number>> = {
  BAD_ALERT: 102,
  BAD_SIGNATURE: 114,
  CERTIFICATE_VERIFY_FAILED: 125,
  CLIENTHELLO_PARSE_FAILED: 131,
  CLIENTHELLO_TLSEXT: 132,
  DECODE_ERROR: 137,
  DECRYPTION_FAILED_OR_BAD_RECORD_MAC: 139,
  DIGEST_CHECK_FAILED: 142,
  EXCESSIVE_MESSAGE_SIZE: 150,
  HTTPS_PROXY_REQUEST: 155,
  HTTP_REQUEST: 156,
  INAPPROPRIATE_FALLBACK: 157,
  LENGTH_MISMATCH: 162,
  MISSING_EXTENSION: 164,
  NO_RENEGOTIATION: 182,
  NO_SHARED_CIPHER: 184,
  PEER_DID_NOT_RETURN_A_CERTIFICATE: 192,
  UNEXPECTED_MESSAGE: 223,
  UNEXPECTED_RECORD: 225,
  UNKNOWN_PROTOCOL: 233,
  UNSUPPORTED_PROTOCOL: 240,
  WRONG_CIPHER_RETURNED: 242,
  WRONG_VERSION_NUMBER: 247,
  NO_COMMON_SIGNATURE_ALGORITHMS: 253,
  NO_SHARED_GROUP: 266,
  SSLV3_ALERT_CLOSE_NOTIFY: 1000,
  SSLV3_ALERT_UNEXPECTED_MESSAGE: 1010,
  SSLV3_ALERT_BAD_RECORD_MAC: 1020,
  TLSV1_ALERT_DECRYPTION_FAILED: 1021,
  TLSV1_ALERT_RECORD_OVERFLOW: 1022,
  SSLV3_ALERT_DECOMPRESSION_FAILURE: 1030,
  SSLV3_ALERT_HANDSHAKE_FAILURE: 1040,
  SSLV3_ALERT_NO_CERTIFICATE: 1041,
  SSLV3_ALERT_BAD_CERTIFICATE: 1042,
  SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 1043,
  SSLV3_ALERT_CERTIFICATE_REVOKED: 1044,
  SSLV3_ALERT_CERTIFICATE_EXPIRED: 1045,
  SSLV3_ALERT_CERTIFICATE_UNKNOWN: 1046,
  SSLV3_ALERT_ILLEGAL_PARAMETER: 1047,
  TLSV1_ALERT_UNKNOWN_CA: 1048,
  TLSV1_ALERT_ACCESS_DENIED: 1049,
  TLSV1_ALERT_DECODE_ERROR: 1050,
  TLSV1_ALERT_DECRYPT_ERROR: 1051,
  TLSV1_ALERT_EXPORT_RESTRICTION: 1060,
  TLSV1_ALERT_PROTOCOL_VERSION: 1070,
  TLSV1_ALERT_INSUFFICIENT_SECURITY: 1071,
  TLSV1_ALERT_INTERNAL_ERROR: 1080,
  TLSV1_ALERT_INAPPROPRIATE_FALLBACK: 1086,
  TLSV1_ALERT_USER_CANCELLED: 1090,
  TLSV1_ALERT_NO_RENEGOTIATION: 1100,
  TLSV1_ALERT_UNSUPPORTED_EXTENSION: 1110,
  TLSV1_ALERT_UNRECOGNIZED_NAME: 1112,
  TLSV1_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE: 1113,
  TLSV1_ALERT_UNKNOWN_PSK_IDENTITY: 1115,
  TLSV1_ALERT_CERTIFICATE_REQUIRED: 1116,
  TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 1120,
}

/** OpenSSL reason → BoringSSL reason, where another name means the same. */
const RENAMED: Readonly<Record<string, string>> = {
  NO_SUITABLE_KEY_SHARE: 'NO_SHARED_GROUP',
  NO_SUITABLE_GROUPS: 'NO_SHARED_GROUP',
  NO_SUITABLE_SIGNATURE_ALGORITHM: 'NO_COMMON_SIGNATURE_ALGORITHMS',
  NO_SHARED_SIGNATURE_ALGORITHMS: 'NO_COMMON_SIGNATURE_ALGORITHMS',
  PACKET_LENGTH_TOO_LONG: 'WRONG_VERSION_NUMBER',
  BAD_RECORD_TYPE: 'UNEXPECTED_RECORD',
  LENGTH_TOO_SHORT: 'DECODE_ERROR',
  LENGTH_TOO_LONG: 'DECODE_ERROR',
  BAD_EXTENSION: 'DECODE_ERROR',
  RECORD_TOO_SMALL: 'DECODE_ERROR',
  VERSION_TOO_LOW: 'UNSUPPORTED_PROTOCOL',
  SSLV3_ALERT_PEER_ERROR_CERTIFICATE: 'SSLV3_ALERT_BAD_CERTIFICATE',
}

/** Raw text: formatters replace the blanks. `detail` '' = none. */
export function tlsErrorText(reason: string, detail = ''): string {
  const code = SSL_LIBRARY + (REASONS[reason] ?? 0)
  return `TLS_error:|${code}:SSL routines:OPENSSL_internal:${reason}${detail === '' ? '' : `:${detail}`}:TLS_error_end`
}

export const PEER_WITHOUT_CERTIFICATE = tlsErrorText(
  'PEER_DID_NOT_RETURN_A_CERTIFICATE',
  'peer did not provide required client certificate',
)

/** From the error of a failed handshake; '' when the peer just went away, as Envoy leaves it. */
export function handshakeErrorText(error: NodeJS.ErrnoException): string {
  const code = error.code ?? ''
  if (!code.startsWith('ERR_SSL_')) return ''
  let reason = code.slice('ERR_SSL_'.length)
  // OpenSSL 3 calls the alerts of SSL 3 "ssl/tls alert", and those of TLS 1.3 "tlsv13 alert".
  reason = reason.replace(/^(SSL\/TLS|SSL_TLS|TLSV1|TLSV13|SSLV3)_ALERT_/, 'ALERT_')
  if (reason.startsWith('ALERT_')) {
    if (`SSLV3_${reason}` in REASONS) reason = `SSLV3_${reason}`
    else reason = `TLSV1_${reason}`
  }
  return tlsErrorText(RENAMED[reason] ?? reason)
}

/** X509_verify_cert_error_string of BoringSSL by Node's code. */
const VERIFY: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT: 'unable to get issuer certificate',
  UNABLE_TO_GET_CRL: 'unable to get certificate CRL',
  CERT_SIGNATURE_FAILURE: 'certificate signature failure',
  CERT_NOT_YET_VALID: 'certificate is not yet valid',
  CERT_HAS_EXPIRED: 'certificate has expired',
  CRL_NOT_YET_VALID: 'CRL is not yet valid',
  CRL_HAS_EXPIRED: 'CRL has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self signed certificate',
  SELF_SIGNED_CERT_IN_CHAIN: 'self signed certificate in certificate chain',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unable to get local issuer certificate',
  // BoringSSL stops at the first error, OpenSSL goes on to this one.
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unable to get local issuer certificate',
  CERT_CHAIN_TOO_LONG: 'certificate chain too long',
  CERT_REVOKED: 'certificate revoked',
  INVALID_CA: 'invalid CA certificate',
  PATH_LENGTH_EXCEEDED: 'path length constraint exceeded',
  INVALID_PURPOSE: 'unsupported certificate purpose',
  CERT_UNTRUSTED: 'certificate not trusted',
  CERT_REJECTED: 'certificate rejected',
}

/**
 * What tls_inspector notes for a connection that does not begin with a good ClientHello: BoringSSL's complaint about it, in the
 * form that Envoy 1.40 was seen to print, which differs from the one of handshakes.
 */
export function inspectorErrorText(bytes: Uint8Array): string {
  const reason = inspectorReason(bytes)
  const code = (SSL_LIBRARY + (REASONS[reason] ?? 0)).toString(16)
  return `TLS_error|error:${code}:SSL routines:OPENSSL_internal:${reason}:TLS_error_end`
}

function inspectorReason(bytes: Uint8Array): string {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 5)).toString('latin1')
  if (/^(GET |POST |HEAD |PUT )/.test(start)) return 'HTTP_REQUEST'
  if (start === 'CONNE') return 'HTTPS_PROXY_REQUEST'
  if (bytes[1] !== 3) return 'WRONG_VERSION_NUMBER'
  if (bytes[0] === 21 && bytes[5] === 2) {
    const alert = Object.keys(REASONS).find(name => REASONS[name] === 1000 + (bytes[6] ?? 0))
    if (alert !== undefined) return alert
  }
  if (bytes[0] !== 22) return 'UNEXPECTED_RECORD'
  return bytes[5] === 1 ? 'CLIENTHELLO_PARSE_FAILED' : 'EXCESSIVE_MESSAGE_SIZE'
}

/** SSL_alert_from_verify_result of BoringSSL by Node's code; what is not here is certificate_unknown (46). */
const ALERTS: Readonly<Record<string, number>> = {
  CERT_SIGNATURE_FAILURE: 51,
  CRL_SIGNATURE_FAILURE: 51,
  CERT_HAS_EXPIRED: 45,
  CRL_HAS_EXPIRED: 45,
  CERT_REVOKED: 44,
  CERT_NOT_YET_VALID: 42,
  CRL_NOT_YET_VALID: 42,
  CERT_UNTRUSTED: 42,
  CERT_REJECTED: 42,
  INVALID_PURPOSE: 43,
  CERT_CHAIN_TOO_LONG: 48,
  DEPTH_ZERO_SELF_SIGNED_CERT: 48,
  INVALID_CA: 48,
  PATH_LENGTH_EXCEEDED: 48,
  SELF_SIGNED_CERT_IN_CHAIN: 48,
  UNABLE_TO_GET_ISSUER_CERT: 48,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 48,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 48,
}

/** `code` '' = OpenSSL found nothing wrong, a rule of the configuration did. */
export function verifyAlert(code: string): number {
  return ALERTS[code] ?? 46
}

export function verifyErrorText(code: string): string {
  return VERIFY[code] ?? code.toLowerCase().replaceAll('_', ' ')
}

import t from 'tap'
import {
  agreedCurve,
  clientGroups,
  DEFAULT_CURVES,
  serverGroups,
} from '../../../src/io/transport-sockets/cipher-names.ts'
import { inspectorErrorText, verifyAlert } from '../../../src/io/transport-sockets/tls-errors.ts'

const X25519 = 29
const P256 = 23
const HYBRID = 0x11ec

t.test("groups: servers keep their own order, clients show a key share of either kind, as Envoy's", async t => {
  t.equal(serverGroups(DEFAULT_CURVES), 'X25519MLKEM768/X25519/prime256v1')
  t.equal(clientGroups(DEFAULT_CURVES), '*X25519MLKEM768:*X25519:prime256v1')
  t.equal(clientGroups(['prime256v1', 'X25519']), '*prime256v1:X25519')
})

t.test('the agreed group is the first of the server that the client has; none is hybrid before TLS 1.3', async t => {
  t.equal(agreedCurve(DEFAULT_CURVES, [P256, X25519, HYBRID], true), 'X25519MLKEM768')
  t.equal(agreedCurve(DEFAULT_CURVES, [P256, X25519, HYBRID], false), 'X25519')
  t.equal(agreedCurve(DEFAULT_CURVES, [P256], true), 'prime256v1')
  t.equal(agreedCurve(DEFAULT_CURVES, [], true), '')
})

t.test('what tls_inspector notes of plaintext: seen of Envoy 1.40', async t => {
  const cases: readonly (readonly [string, string])[] = [
    ['GET / HTTP/1.1\r\n', '1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST'],
    ['CONNECT a:1 HTTP/1.1\r\n', '1000009b:SSL routines:OPENSSL_internal:HTTPS_PROXY_REQUEST'],
    ['DELETE / HTTP/1.1\r\n', '100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER'],
    ['\x16\x03\x01\x00\x05\x02aaaa', '10000096:SSL routines:OPENSSL_internal:EXCESSIVE_MESSAGE_SIZE'],
    ['\x15\x03\x01\x00\x02\x02\x28', '10000410:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE'],
    ['\x16\x03\x01\x00\x08\x01\x00\x00\x04aaaa', '10000083:SSL routines:OPENSSL_internal:CLIENTHELLO_PARSE_FAILED'],
    ['\x16\x02\x01\x00\x05\x02aaaa', '100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER'],
    ['A\x03\x03\x00\x04aaaa', '100000e1:SSL routines:OPENSSL_internal:UNEXPECTED_RECORD'],
  ]
  for (const [bytes, text] of cases) {
    t.equal(inspectorErrorText(Buffer.from(bytes, 'latin1')), `TLS_error|error:${text}:TLS_error_end`)
  }
})

t.test('alerts for refused certificates (RFC 5246 §7.2.2)', async t => {
  t.equal(verifyAlert('DEPTH_ZERO_SELF_SIGNED_CERT'), 48)
  t.equal(verifyAlert('CERT_HAS_EXPIRED'), 45)
  t.equal(verifyAlert('CERT_REVOKED'), 44)
  t.equal(verifyAlert(''), 46, 'certificate_unknown: a rule of the configuration')
})

import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { certificateNames, sessionIdOf } from '../../../src/io/transport-sockets/certificate.ts'
import { cipherNames } from '../../../src/io/transport-sockets/cipher-names.ts'
import { dnsNameMatch } from '../../../src/io/transport-sockets/san-matcher.ts'
import { parseDownstreamTls, parseUpstreamTls } from '../../../src/io/transport-sockets/tls-config.ts'
import { handshakeErrorText } from '../../../src/io/transport-sockets/tls-errors.ts'
import { certificate, certificatePath } from '../../harness/certificates.ts'

// A multi-valued relative name, a comma in a value, every kind of SAN; printed by the real Envoy as below.
const CURIOUS = `-----BEGIN CERTIFICATE-----
MIIB8TCCAZegAwIBAgIUGgQAOOt0ELtELflM0x1fQAftM+QwCgYIKoZIzj0EAwIw
ITENMAsGA1UECgwEVGVzdDEQMA4GA1UEAwwHUm9vdCBDQTAeFw0yNjExMjEwMzMx
MjVaFw0zNjExMTgwMzMxMjVaMDExEjAQBgNVBAoMCVRlc3QsIEluYzEbMAoGA1UE
CwwDRGV2MA0GA1UEAwwGc2VydmVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
6VK0LpuyEPZux/uquHVCmq6hZqORdPn71+MTQVH44HgegtfIRE7MEihMD3Gkb+YJ
/OUqNjkaLtkI2dH+UHMxRqOBnDCBmTBXBgNVHREEUDBOggtzZXJ2ZXIudGVzdIIL
Ki53aWxkLnRlc3SGJXNwaWZmZTovL2NsdXN0ZXIubG9jYWwvbnMvYS9zYS9zZXJ2
ZXKHBH8AAAGBBWFAYi5jMB0GA1UdDgQWBBTma/hA28JGL0IsgLd54HJf2xo8IzAf
BgNVHSMEGDAWgBRaLP1pQ5HFA87VddTRj32C5WOWcDAKBggqhkjOPQQDAgNIADBF
AiEAjxJ2Wa0IzY4zMULRSbfXhk44lqEz9pssKph1ZU0+jwICIBFh0KmKsgt3+Day
ho9SHnMxtODsBJH7qH2y4i73xbZU
-----END CERTIFICATE-----`

/** tap compares the members of the pattern. */
const says = (envoyText: string | RegExp): Error => ({ envoyText }) as unknown as Error

t.test('names as Envoy prints them', async t => {
  const names = certificateNames(new X509Certificate(CURIOUS).raw)
  t.equal(names.subject, 'CN=server+OU=Dev,O=Test\\, Inc')
  t.equal(names.issuer, 'CN=Root CA,O=Test')
  t.equal(names.serial, '1a040038eb7410bb442df94cd31d5f4007ed33e4')
  t.same(
    names.sans.map(s => `${s.type} ${s.value}`),
    [
      'DNS server.test',
      'DNS *.wild.test',
      'URI spiffe://cluster.local/ns/a/sa/server',
      'IP_ADDRESS 127.0.0.1',
      'EMAIL a@b.c',
    ],
  )
})

t.test('damaged DER gives empty names', async t => {
  const { raw } = new X509Certificate(CURIOUS)
  for (let cut = 0; cut < raw.length; cut += 7) certificateNames(raw.subarray(0, cut))
  t.equal(certificateNames(Buffer.from([0x30, 0x85])).subject, '')
  t.equal(sessionIdOf(Buffer.from([1, 2, 3])), '')
})

t.test('wildcards of DNS names stand for one leftmost label', async t => {
  for (const [name, pattern, fits] of [
    ['a.test', 'A.TEST', true],
    ['x.a.test', '*.a.test', true],
    ['x.y.a.test', '*.a.test', false],
    ['a.test', '*.a.test', false],
    ['.a.test', '*.a.test', false],
    ['foo.a.test', 'f*.a.test', true],
    ['foo.a.test', 'f*o.a.test', true],
    ['fo.a.test', 'fo*o.a.test', false],
    ['xn--foo.a.test', 'xn--*.a.test', false],
    ['xn--foo.a.test', '*.a.test', true],
    ['x.a.test', 'x.*.test', false],
    ['xyz', '*', false],
  ] as const) {
    t.equal(dnsNameMatch(name, pattern), fits, `${name} against ${pattern}`)
  }
})

t.test('cipher names: groups, IANA names, unknown ones', async t => {
  t.same(cipherNames('[ECDHE-RSA-AES128-GCM-SHA256|TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]'), [
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ])
  t.equal(cipherNames('DES-CBC3-SHA-X'), null)
})

t.test('alerts of OpenSSL 3 have the codes of BoringSSL', async t => {
  const text = (code: string): string => handshakeErrorText(Object.assign(new Error('x'), { code }))
  t.match(
    text('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'),
    '|268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE:',
  )
  t.match(text('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), 'TLSV1_ALERT_CERTIFICATE_REQUIRED')
  t.match(text('ERR_SSL_WRONG_VERSION_NUMBER'), '|268435703:')
  t.equal(text('ECONNRESET'), '')
})

t.test("configuration errors in Envoy's words", async t => {
  const at = FieldPath.root()
  const pair = {
    certificate_chain: { filename: certificatePath('server.pem') },
    private_key: { filename: certificatePath('server.key') },
  }
  const down =
    (common: object): (() => unknown) =>
    () =>
      parseDownstreamTls({ common_tls_context: common }, at, [])
  t.throws(down({}), says('No TLS certificates found for server context'))
  t.throws(
    down({ tls_certificates: [{ ...pair, private_key: { filename: '/nope.key' } }] }),
    says('Failed to load incomplete private key from path: /nope.key'),
  )
  t.throws(
    down({ tls_certificates: [{ ...pair, certificate_chain: { inline_string: 'garbage' } }] }),
    says('Failed to load certificate chain from <inline>'),
  )
  t.throws(
    down({ tls_certificates: [{ ...pair, private_key: { inline_bytes: certificate('other').key } }] }),
    says(/^Failed to load private key from <inline>, Cause: error:0b000074:.*KEY_VALUES_MISMATCH/),
  )
  const validated = (validation_context: object): (() => unknown) =>
    down({ tls_certificates: [pair], validation_context })
  t.throws(
    validated({ trusted_ca: { inline_string: 'x' } }),
    says('Failed to load trusted CA certificates from <inline>'),
  )
  t.throws(
    validated({ match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'a' } }] }),
    says('SAN-based verification of peer certificates without trusted CA is insecure and not allowed'),
  )
  t.throws(validated({ verify_certificate_hash: ['zz'] }), says('Invalid hex-encoded SHA-256 zz'))
  t.throws(validated({ allow_expired_certificate: true }), { code: 'CONFIG_UNSUPPORTED' })
  t.doesNotThrow(validated({ allow_expired_certificate: false }))
  t.throws(
    down({ tls_certificates: [pair], tls_params: { cipher_suites: ['NOPE'] } }),
    says('Failed to initialize cipher suites NOPE. The following ciphers were rejected when tried individually: NOPE'),
  )
  t.throws(down({ tls_certificates: [pair], custom_handshaker: {} }), { code: 'CONFIG_UNSUPPORTED' })
  t.throws(() => parseUpstreamTls({ allow_renegotiation: true }, at, []), { code: 'CONFIG_UNSUPPORTED' })
  t.equal(parseUpstreamTls({}, at, []).maxVersion, 'TLSv1.2')
  const cloned = structuredClone(parseDownstreamTls({ common_tls_context: { tls_certificates: [pair] } }, at, []))
  t.equal(cloned.maxVersion, 'TLSv1.3')
})

import t from 'tap'
import { signatureAlgorithm } from '../../../src/io/transport-sockets/signature-algorithms.ts'

t.test('the default of each kind of key', async t => {
  t.equal(signatureAlgorithm('', 'P-256', true), 'ecdsa_secp256r1_sha256')
  t.equal(signatureAlgorithm('', 'P-384', true), 'ecdsa_secp384r1_sha384')
  t.equal(signatureAlgorithm('', 'P-521', true), 'ecdsa_secp521r1_sha512')
  t.equal(signatureAlgorithm('', 'Ed25519', true), 'ed25519')
  t.equal(signatureAlgorithm('', 'RSA', true), 'rsa_pss_rsae_sha256')
  t.equal(signatureAlgorithm('', '', true), '')
})

t.test('before TLS 1.3 the curve is no part of the name', async t => {
  t.equal(signatureAlgorithm('', 'P-384', false), 'ecdsa_secp256r1_sha256')
})

t.test('the order of the configuration; PKCS #1 is not for TLS 1.3', async t => {
  const asked = 'rsa_pkcs1_sha256:rsa_pss_rsae_sha384:ecdsa_secp256r1_sha256'
  t.equal(signatureAlgorithm(asked, 'RSA', false), 'rsa_pkcs1_sha256')
  t.equal(signatureAlgorithm(asked, 'RSA', true), 'rsa_pss_rsae_sha384')
  t.equal(signatureAlgorithm(asked, 'P-384', true), '')
})

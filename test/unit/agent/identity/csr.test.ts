import { spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import t from 'tap'
import { certificateRequest, spiffeId } from '../../../../src/agent/identity/csr.ts'
import { integer, objectIdentifier, pem } from '../../../../src/agent/identity/der.ts'
import { type KeyKind, keyKind, newKeyPair, privateKeyPem } from '../../../../src/agent/identity/key-pair.ts'
import { readCertificateRequest } from '../../../harness/certificate-request.ts'
import { CertificateAuthority } from '../../../harness/toy-ca.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const ID = spiffeId('cluster.local', 'demo', 'echo')

function openssl(args: string[], input: string): { status: number | null; output: string } {
  const done = spawnSync('openssl', args, { input, encoding: 'utf8' })
  return { status: done.status, output: done.stdout + done.stderr }
}

const KINDS: readonly [KeyKind, string, string][] = [
  [keyKind(2048, '', 'P256'), 'BEGIN RSA PRIVATE KEY', 'sha256WithRSAEncryption'],
  [keyKind(2048, 'ECDSA', 'P256'), 'BEGIN EC PRIVATE KEY', 'ecdsa-with-SHA256'],
  [keyKind(2048, 'ECDSA', 'P384'), 'BEGIN EC PRIVATE KEY', 'ecdsa-with-SHA384'],
]

for (const [kind, label, algorithm] of KINDS) {
  t.test(
    `a request with a key of ${JSON.stringify(kind)} is signed by it and names the SPIFFE id, critical`,
    async t => {
      const pair = await newKeyPair(kind)
      const csr = certificateRequest(pair, ID)
      t.same(readCertificateRequest(csr).uris, ['spiffe://cluster.local/ns/demo/sa/echo'])
      t.match(privateKeyPem(pair, false), label)
      t.match(privateKeyPem(pair, true), 'BEGIN PRIVATE KEY')
      t.ok(createPrivateKey(privateKeyPem(pair, true)).equals(pair.privateKey))
      if (!hasOpenssl) return
      const { status, output } = openssl(['req', '-verify', '-noout', '-text'], csr)
      t.equal(status, 0, output)
      t.match(output, /verify OK/)
      t.match(output, /X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/demo\/sa\/echo/)
      t.match(output, `Signature Algorithm: ${algorithm}`)
      t.match(output, /Subject: *\n/, 'the subject is empty')
    },
  )
}

t.test('a certificate of the lab is what openssl and node take for one', async t => {
  const authority = new CertificateAuthority()
  const pair = await newKeyPair(keyKind(0, 'ECDSA', ''))
  const leaf = authority.issue({ publicKey: pair.publicKey, uris: [ID], dnsNames: ['a.test'], ttlMs: 3_600_000 })
  const certificate = new X509Certificate(leaf)
  t.equal(certificate.subjectAltName, `DNS:a.test, URI:${ID}`)
  t.ok(certificate.verify(new X509Certificate(authority.rootPem).publicKey))
  t.ok(certificate.checkIssued(new X509Certificate(authority.rootPem)))
  t.ok(certificate.checkPrivateKey(pair.privateKey))
  t.ok(new X509Certificate(authority.rootPem).ca)
  t.notOk(certificate.ca)
  if (!hasOpenssl) return
  t.match(openssl(['x509', '-noout', '-text'], leaf).output, /Digital Signature, Key Encipherment/)
})

t.test('keys that Istio refuses are refused', t => {
  t.throws(() => keyKind(1024, '', ''), /minimum required size of 2048 \(requested: 1024\)/)
  t.throws(() => keyKind(2048.5, '', ''), /minimum required size/)
  t.throws(() => keyKind(2048, 'Ed25519', ''), /only ECDSA/)
  t.same(keyKind(0, 'ECDSA', 'P521'), { type: 'ec', curve: 'P256' }, 'an unknown curve is the default')
  t.end()
})

t.test('DER: shortest integers, arcs over 127, times before and after 2050, long lengths', t => {
  t.equal(integer(0).toString('hex'), '020100')
  t.equal(integer(127).toString('hex'), '02017f')
  t.equal(integer(128).toString('hex'), '02020080')
  t.equal(integer(65537).toString('hex'), '0203010001')
  t.equal(integer(Buffer.from('0000ff', 'hex')).toString('hex'), '020200ff')
  t.equal(objectIdentifier('1.2.840.113549').toString('hex'), '06062a864886f70d')
  t.equal(integer(Buffer.alloc(300, 1)).subarray(0, 4).toString('hex'), '0282012c')
  t.equal(pem('X', Buffer.alloc(49)).split('\n')[1]?.length, 64)
  t.end()
})

t.test('a request that was tampered with is not signed', async t => {
  const pair = await newKeyPair(keyKind(0, 'ECDSA', ''))
  const csr = certificateRequest(pair, ID)
  const bytes = Buffer.from(csr.replaceAll(/-----[^-]+-----/g, ''), 'base64')
  bytes[bytes.indexOf('echo')] = 0x66
  t.throws(() => readCertificateRequest(pem('CERTIFICATE REQUEST', bytes)), /signature does not match/)
  t.throws(() => readCertificateRequest('nonsense'), /no PEM/)
})

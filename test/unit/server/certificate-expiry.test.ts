import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { CertificateExpiry, NEVER } from '../../../src/server/certificate-expiry.ts'
import { certificatePath } from '../../harness/certificates.ts'

const DAY = 86_400_000
const leaf = readFileSync(certificatePath('server.pem'))
const ca = readFileSync(certificatePath('ca.pem'))
const end = (pem: Buffer): number => Date.parse(new X509Certificate(pem).validTo)
const socket = (config: object) => ({ typeUrl: 'tls', config })
const secret = (over: object): never => ({ name: 's', version: '', ...over }) as never

t.test('the first certificate to expire counts, of sockets and of secrets', async t => {
  const expiry = new CertificateExpiry()
  const now = Math.min(end(leaf), end(ca)) - 3.5 * DAY
  const days = (pem: Buffer): number => Math.floor((end(pem) - now) / DAY)
  const own = socket({ certificates: [{ chain: leaf }], validation: null })
  const trusted = socket({ certificates: [], validation: { trusted_ca: { inline_bytes: ca } } })
  t.equal(expiry.days([own, null, undefined, socket({})], [], now), days(leaf))
  t.equal(expiry.days([trusted], [], now), days(ca))
  t.equal(expiry.days([own, trusted], [], now), 3)
  t.equal(expiry.days([{ typeUrl: 'wraps', config: { inner: own } }], [], now), days(leaf), 'inside of another')
  t.equal(expiry.days([], [secret({ tlsCertificate: { certificateChain: leaf } })], now), days(leaf))
  t.equal(expiry.days([], [secret({ validationContext: { trusted_ca: { inline_bytes: ca } } })], now), days(ca))
})

t.test('no certificate never expires, an expired one has no days left', async t => {
  const expiry = new CertificateExpiry()
  t.equal(expiry.days([socket({})], [secret({})], 0), NEVER)
  t.equal(expiry.days([socket({ certificates: [{ chain: Buffer.from('no PEM') }] })], [], 0), NEVER)
  t.equal(expiry.days([socket({ certificates: [{ chain: leaf }] })], [], end(leaf) + DAY), 0)
})

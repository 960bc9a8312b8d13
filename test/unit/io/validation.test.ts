import { readFileSync } from 'node:fs'
import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { parseValidation } from '../../../src/io/transport-sockets/validation.ts'
import { certificatePath } from '../../harness/certificates.ts'

const ca = { inline_bytes: readFileSync(certificatePath('ca.pem')) }

function parse(crl: string, trusted: object = { trusted_ca: ca }): { crl: Uint8Array | null; warnings: string[] } {
  const warnings: string[] = []
  const context = { ...trusted, crl: { inline_bytes: Buffer.from(crl) } }
  return { crl: parseValidation(context, FieldPath.root(), warnings).crl, warnings }
}

// Each asked of the real Envoy 1.40 with --mode validate.
t.test('a revocation list that is no list is none, and empty is not worth a word', async t => {
  t.same(parse(''), { crl: null, warnings: [] }, "Istio's agent names an empty file")
  t.same(parse('', {}), { crl: null, warnings: [] }, 'then no authority is needed either')
  t.match(parse(' abc '), { crl: null, warnings: [/no certificate revocation list in <inline>, nothing is revoked/] })
})

t.test('a revocation list is kept, and needs an authority', async t => {
  const list = '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n'
  t.equal(Buffer.from(parse(list).crl ?? []).toString(), list)
  t.throws(() => parse(list, {}), { message: /\(CRL\) requires trusted CA/ })
})

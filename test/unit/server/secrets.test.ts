import { readFileSync } from 'node:fs'
import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { SecretData } from '../../../src/config/services.ts'
import { checkSecret } from '../../../src/server/check-secret.ts'
import { type SecretUse, sdsReferences } from '../../../src/server/sds-references.ts'
import { withFileContents } from '../../../src/server/secrets.ts'
import { certificate, certificatePath } from '../../harness/certificates.ts'

const at = FieldPath.root("Secret 's'")
const use = (kind: SecretUse['kind'], base?: SecretUse['base']): SecretUse => ({ kind, base })

function pair(cert: string, key: string): SecretData {
  const tlsCertificate = {
    certificateChain: certificate(cert).cert,
    privateKey: certificate(key).key,
    password: '',
    ocspStaple: null,
    source: '<inline>',
    keySource: '/key.pem',
  }
  return { name: 's', version: '1', tlsCertificate }
}

const ca = { trusted_ca: { inline_bytes: readFileSync(certificatePath('ca.pem')) } }

t.test('a secret is refused when it cannot be used for what it is wanted for', t => {
  checkSecret(pair('server', 'server'), [use('certificate')], at)
  t.throws(() => checkSecret(pair('server', 'other'), [use('certificate')], at), {
    message: /Failed to load private key from \/key\.pem, Cause: .*KEY_VALUES_MISMATCH/,
  })
  t.throws(() => checkSecret({ name: 's', version: '' }, [use('certificate')], at), /incomplete private key/)
  t.throws(() => checkSecret(pair('server', 'server'), [use('certificate'), use('validation')], at), {
    message: /has not got a validation_context/,
  })
  t.throws(() => checkSecret(pair('server', 'server'), [use('generic')], at), /has not got a generic_secret/)
  t.throws(() => checkSecret(pair('server', 'server'), [use('tickets')], at), /has not got session_ticket_keys/)
  const tickets = { name: 's', version: '', sessionTicketKeys: [new Uint8Array(80), new Uint8Array(48)] }
  t.throws(() => checkSecret(tickets, [use('tickets')], at), {
    message: /Length 48, expected length 80\.\n {2}at Secret 's': session_ticket_keys\.keys\[1\]/,
  })
  checkSecret({ name: 's', version: '', genericSecret: new Uint8Array(0) }, [use('generic')], at)
  t.end()
})

t.test('what verifies peers is judged together with what it is merged into', t => {
  const sans = { match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'x' } }] } as object
  const secret = { name: 's', version: '', validationContext: sans }
  t.throws(() => checkSecret(secret, [use('validation')], at), /without trusted CA is insecure/)
  checkSecret(secret, [use('validation', ca)], at)
  t.throws(() => checkSecret(secret, [use('validation', ca), use('validation', {})], at), /without trusted CA/)
  t.end()
})

t.test('references are found wherever they stand, with what they are for', t => {
  const source = { ads: {} }
  const found = sdsReferences({
    chains: [
      {
        tls_certificate_sds_secret_configs: [
          { name: 'one', sds_config: source },
          { name: 'fixed' },
          { name: '', sds_config: source },
        ],
        combined_validation_context: {
          default_validation_context: ca,
          validation_context_sds_secret_config: { name: 'roots', sds_config: source },
        },
        session_ticket_keys_sds_secret_config: { name: 'tickets', sds_config: source },
      },
      { tls_certificate_sds_secret_configs: [{ name: 'one', sds_config: source }] },
    ],
    filter: { token_secret: { name: 'token', sds_config: source } },
  })
  t.same(
    [...found.values()].map(({ name, uses }) => [name, ...uses.map(u => u.kind)]),
    [
      ['one', 'certificate', 'certificate'],
      ['roots', 'validation'],
      ['tickets', 'tickets'],
      ['token', 'generic'],
    ],
  )
  t.equal(found.get('roots')?.uses[0]?.base, ca)
  t.end()
})

t.test('dumps show what files gave, and nothing that was not there', t => {
  const proto = {
    name: 's',
    tls_certificate: { certificate_chain: { filename: '/chain' }, private_key: { inline_string: 'x' } },
    validation_context: { trusted_ca: { filename: '/ca' } },
  }
  const data = { ...pair('server', 'server'), validationContext: ca }
  t.same(withFileContents(proto, data), {
    name: 's',
    tls_certificate: {
      certificate_chain: { inline_bytes: certificate('server').cert },
      private_key: { inline_string: 'x' },
    },
    validation_context: ca,
  })
  t.same(withFileContents({ name: 's', generic_secret: {} }, { name: 's', version: '' }), {
    name: 's',
    generic_secret: {},
  })
  t.end()
})

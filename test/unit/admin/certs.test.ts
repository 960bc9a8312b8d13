import { readFileSync } from 'node:fs'
import t from 'tap'
import { certsHandler } from '../../../src/admin/certs.ts'
import { ask } from './fakes.ts'
import { recorded } from './recorded.ts'

const pem = readFileSync(new URL('../../harness/certs/server.pem', import.meta.url))
const fact = { path: '/certs/server.pem', pem }

interface Shown {
  certificates: { ca_cert: Record<string, unknown>[]; cert_chain: Record<string, unknown>[] }[]
}

t.test('fields and empty lists as the real Envoy prints them', async t => {
  const handler = certsHandler(() => [
    { trustedCa: null, chains: [fact] },
    { trustedCa: fact, chains: [] },
  ])
  const shown = JSON.parse((await ask(handler, '/certs')).body) as Shown
  const real = JSON.parse(recorded('certs').body) as Shown
  const [first, second] = shown.certificates
  t.same(first?.ca_cert, [])
  t.same(second?.cert_chain, [])
  t.same(Object.keys(first?.cert_chain[0] ?? {}), Object.keys(real.certificates[0]!.cert_chain[0]!))
  t.same(first?.cert_chain[0], second?.ca_cert[0])
  t.match(first?.cert_chain[0], { path: '/certs/server.pem', serial_number: /^[0-9a-f]+$/, valid_from: /T.*Z$/ })
})

t.test('days until expiration: whole days left, 0 when over', async t => {
  const days = async (now: number) => {
    const shown = JSON.parse(
      (
        await ask(
          certsHandler(
            () => [{ trustedCa: fact, chains: [] }],
            () => now,
          ),
          '/certs',
        )
      ).body,
    )
    return (shown as Shown).certificates[0]?.ca_cert[0]
  }
  const until = Date.parse(String((await days(0))?.['expiration_time']))
  t.equal((await days(until - 36 * 3_600_000))?.['days_until_expiration'], '1')
  t.equal((await days(until + 1))?.['days_until_expiration'], '0')
})

t.test('what is no certificate is left out', async t => {
  const broken = { path: 'x', pem: Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----') }
  const handler = certsHandler(() => [{ trustedCa: broken, chains: [{ path: 'y', pem: Buffer.from('') }] }])
  t.same(JSON.parse((await ask(handler, '/certs')).body), { certificates: [{ ca_cert: [], cert_chain: [] }] })
  t.equal(
    (
      await ask(
        certsHandler(() => []),
        '/certs',
      )
    ).body,
    '{\n "certificates": []\n}\n',
  )
})

import t from 'tap'
import { ipAddress, pipeAddress } from '../../../src/io/address.ts'
import type { Address, Connection } from '../../../src/io/connection.ts'
import { Proxied, proxiedFor, UNTOLD } from '../../../src/io/proxied.ts'

const A = ipAddress('1.2.3.4', 1000)
const B = ipAddress('5.6.7.8', 2000)
const connection = (over: object): Connection => ({ remote: A, local: B, ...over }) as unknown as Connection
const told = (...tlvs: [number, string][]): Proxied => from(A, tlvs)
const from = (source: Address, tlvs: [number, string][]): Proxied =>
  new Proxied(
    source,
    B,
    tlvs.map(([type, text]) => ({ type, value: Buffer.from(text) })),
  )

t.test('a connection is told by its addresses unless something else is known of it', async t => {
  t.match(proxiedFor(connection({})), { source: A, destination: B, tlvs: [] })
  const known = told([1, 'x'])
  t.equal(proxiedFor(connection({ proxied: known })), known)
  t.equal(proxiedFor(connection({ proxied: UNTOLD })), null)
  t.equal(proxiedFor(connection({ remote: pipeAddress('/run/a.sock') })), null, 'no addresses to tell')
  t.equal(proxiedFor(null), null)
})

t.test('clients share upstream connections when the same is told of them, TLVs included', async t => {
  t.equal(told([1, 'x']).key, told([1, 'x']).key)
  t.not(told([1, 'x']).key, told([1, 'y']).key)
  t.not(told([1, 'x']).key, told([2, 'x']).key)
  t.not(told().key, from(ipAddress('1.2.3.4', 1001), []).key)
})

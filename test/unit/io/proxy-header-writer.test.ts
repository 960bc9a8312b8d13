import t from 'tap'
import { ipAddress, pipeAddress } from '../../../src/io/address.ts'
import type { Address, Connection } from '../../../src/io/connection.ts'
import { ProxyHeaderWriter } from '../../../src/io/transport-sockets/proxy-header-writer.ts'
import type { Counter } from '../../../src/stats/stats.ts'

const NOTHING: Counter = { inc: () => {}, add: () => {} }

/** What begins a connection of nobody's from `local` to `remote`. */
function ownHeader(version: 1 | 2, directLocal: Address, directRemote: Address): string {
  const config = { version, passed: [], added: [], inner: { category: 'x', typeUrl: '', config: {} } } as never
  const writer = new ProxyHeaderWriter(config, null, NOTHING)
  return Buffer.from(writer.bytes({ directLocal, directRemote } as Connection)).toString('latin1')
}

t.test(
  'a connection of nobody’s tells its own addresses in version 1, and that it is its own in version 2',
  async t => {
    const local = ipAddress('127.0.0.1', 1)
    const remote = ipAddress('127.0.0.2', 2)
    t.equal(ownHeader(1, local, remote), 'PROXY TCP4 127.0.0.1 127.0.0.2 1 2\r\n')
    t.equal(ownHeader(2, local, remote), '\r\n\r\n\0\r\nQUIT\n\x20\0\0\0')
  },
)

t.test('a Unix socket has no address for a PROXY header', async t => {
  t.equal(ownHeader(1, pipeAddress(''), pipeAddress('/run/up.sock')), 'PROXY UNKNOWN\r\n')
})

import t from 'tap'
import { encodeMessage } from '../../../src/config/binary-writer.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { GrpcCallUser } from '../../../src/config/services.ts'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseReason, ReadHold } from '../../../src/io/connection.ts'
import { NetVerdict } from '../../../src/network/filter.ts'
import type { NetworkFilterServices } from '../../../src/network/filter-factory.ts'
import { networkExtAuthzFactory } from '../../../src/network/filters/ext-authz.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { FakeConnection } from '../upstream/fakes.ts'
import { fakeServices } from './fake-services.ts'

const PROTO = { stat_prefix: 'x', grpc_service: { envoy_grpc: { cluster_name: 'auth' } } }
const reply = (code: number): Uint8Array => encodeMessage('envoy.service.auth.v3.CheckResponse', { status: { code } })

/** A filter whose service answers when told to, or at once. */
function start(atOnce: number | null = null) {
  const services = fakeServices(new VirtualTimers())
  const asked: GrpcCallUser[] = []
  let cancelled = 0
  const call = (_path: string, _message: Uint8Array, _timeout: number, user: GrpcCallUser) => {
    asked.push(user)
    if (atOnce !== null) user.onReply(reply(atOnce))
    return { cancel: () => void cancelled++ }
  }
  const own = { callOuts: { grpc: () => ({ call }) }, bufferLimit: 10 }
  const all = { ...services, ...own } as unknown as NetworkFilterServices
  const factory = networkExtAuthzFactory.create(networkExtAuthzFactory.parse(PROTO, FieldPath.root(), []), all)
  const connection = new FakeConnection(ipAddress('127.0.0.1', 1), {} as never, { onData() {}, onClose() {} })
  const passed: string[] = []
  const chain = {
    continueReading: (_f: unknown, _c: unknown, d: Uint8Array, end: boolean) =>
      void passed.push(`${Buffer.from(d)}${end ? '.' : ''}`),
    upstreamConnected() {},
  }
  const filter = factory.newInstance(connection, chain)
  const stat = (name: string): number => services.stats.value(`ext_authz.x.${name}`)
  return { asked, filter, connection, passed, stat, cancelled: () => cancelled }
}

t.test('what waits is bounded: beyond the buffer limit nothing more is read, until the answer', async t => {
  const { asked, filter, connection, passed } = start()
  t.equal(filter.onData(connection, Buffer.from('12345'), false), NetVerdict.Stop)
  t.equal(connection.readHolds, 0, 'the end of the client must be heard')
  t.equal(filter.onData(connection, Buffer.from('678901'), true), NetVerdict.Stop)
  t.equal(connection.readHolds, ReadHold.Filter)
  t.equal(asked.length, 1)
  asked[0]!.onReply(reply(0))
  t.same(passed, ['12345678901.'])
  t.equal(connection.readHolds, 0)
  t.equal(filter.onData(connection, Buffer.from('2'), false), NetVerdict.Continue)
})

t.test('what waited is given on before what comes when reading begins again', async t => {
  const { asked, filter, connection, passed } = start()
  filter.onData(connection, Buffer.from('12345678901'), false)
  // A read that had begun before the hold is kept by the connection, and delivered as the hold ends.
  connection.holdReading = (_bit, hold) => void (hold || passed.push('unread'))
  asked[0]!.onReply(reply(0))
  t.same(passed, ['12345678901', 'unread'])
})

t.test('an answer that is there at once needs no waiting', async t => {
  const allowed = start(0)
  t.equal(allowed.filter.onData(allowed.connection, Buffer.from('1'), false), NetVerdict.Continue)
  t.same(allowed.passed, [])
  const denied = start(7)
  t.equal(denied.filter.onData(denied.connection, Buffer.from('1'), false), NetVerdict.Stop)
  t.equal(denied.connection.closed, true)
  t.equal(denied.stat('denied') + denied.stat('cx_closed'), 2)
})

t.test('a connection that ends takes its question with it', async t => {
  const { asked, filter, connection, stat, cancelled } = start()
  filter.onData(connection, Buffer.from('1'), false)
  t.equal(stat('active'), 1)
  filter.onClose(connection, CloseReason.Remote)
  t.equal(cancelled(), 1)
  t.equal(stat('active'), 0)
  t.equal(asked.length, 1)
})

t.test('what is no CheckResponse is no answer', async t => {
  const { asked, filter, connection, stat } = start()
  filter.onData(connection, Buffer.from('1'), false)
  asked[0]!.onReply(Buffer.from([0x0a, 0xff]))
  t.equal(stat('error'), 1)
  t.equal(connection.closed, true)
})

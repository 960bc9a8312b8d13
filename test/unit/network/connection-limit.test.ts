import t from 'tap'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseReason } from '../../../src/io/connection.ts'
import { NetVerdict } from '../../../src/network/filter.ts'
import type { NetworkFilterServices } from '../../../src/network/filter-factory.ts'
import { connectionLimitFactory } from '../../../src/network/filters/connection-limit.ts'
import { ownGauges } from '../../../src/upstream/shared-state.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { FakeConnection } from '../upstream/fakes.ts'
import { fakeServices } from './fake-services.ts'

const NO_CHAIN = { continueReading() {}, upstreamConnected() {} }

const CONFIG = { statPrefix: 'cl', maxConnections: 2, delay: 0, runtimeKey: '', enabled: true }
const IGNORE = { onData() {}, onClose() {} }

function start(config: object = {}, gauges = ownGauges(1)) {
  const timers = new VirtualTimers()
  const services = fakeServices(timers)
  const all = { ...services, gauges } as unknown as NetworkFilterServices
  const factory = connectionLimitFactory.create({ ...CONFIG, ...config }, all)
  const open = () => {
    const connection = new FakeConnection(ipAddress('127.0.0.1', 1), {} as never, IGNORE)
    const filter = factory.newInstance(connection, NO_CHAIN)
    return { connection, filter, verdict: filter.onConnection(connection) }
  }
  const stat = (name: string) => services.stats.value(`connection_limit.cl.${name}`)
  return { timers, open, stat }
}

t.test('connections above the limit are closed, and counted; a place that is left is free again', async t => {
  const { open, stat } = start()
  const first = open()
  t.equal(first.verdict, NetVerdict.Continue)
  t.equal(open().verdict, NetVerdict.Continue)
  const third = open()
  t.equal(third.verdict, NetVerdict.Stop)
  t.equal(third.connection.closed, true)
  third.filter.onClose(third.connection, CloseReason.Local)
  t.equal(stat('limited_connections'), 1)
  t.equal(stat('active_connections'), 2)
  first.filter.onClose(first.connection, CloseReason.Remote)
  t.equal(open().verdict, NetVerdict.Continue)
  t.equal(stat('active_connections'), 2)
})

t.test('delay: what a refused connection sends goes nowhere, and it is closed later', async t => {
  const { timers, open } = start({ maxConnections: 0, delay: 100 })
  const { connection, filter } = open()
  t.equal(connection.closed, false)
  t.equal(filter.onData(connection, Buffer.from('x'), false), NetVerdict.Stop)
  t.not(connection.readHolds, 0, 'nor is any more of it read')
  timers.pass(100)
  t.equal(connection.closed, true)
})

t.test('runtime_enabled false lets everything pass and counts nothing', async t => {
  const { open, stat } = start({ maxConnections: 0, enabled: false })
  t.equal(open().verdict, NetVerdict.Continue)
  t.equal(stat('active_connections') + stat('limited_connections'), 0)
})

t.test('workers count together: the limit holds over all of them', async t => {
  const gauges = ownGauges(1)
  const [one, other] = [start({ maxConnections: 3 }, gauges), start({ maxConnections: 3 }, gauges)]
  const first = one.open()
  t.same(
    [one.open(), one.open(), other.open()].map(o => o.verdict),
    [NetVerdict.Continue, NetVerdict.Continue, NetVerdict.Stop],
  )
  first.filter.onClose(first.connection, CloseReason.Remote)
  t.equal(other.open().verdict, NetVerdict.Continue)
})

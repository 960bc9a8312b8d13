import t from 'tap'
import { configuredTicketKeys, processTicketKeys, ticketPeriod } from '../../../src/io/transport-sockets/ticket-keys.ts'

const DAY = 24 * 3600 * 1000
const CONTEXT = Buffer.from('context')

t.test('keys of the process: one per context, the one before still opens', async t => {
  const now = Date.now()
  const [first, ...older] = processTicketKeys(CONTEXT, now)
  t.equal(first!.length, 48)
  t.same(older, [])
  t.same(processTicketKeys(CONTEXT, now), [first])
  t.notSame(processTicketKeys(Buffer.from('other'), now)[0], first)
  const next = processTicketKeys(CONTEXT, now + 2 * DAY)
  t.equal(next.length, 2)
  t.notSame(next[0], first)
  t.same(next[1], first)
  const third = processTicketKeys(CONTEXT, now + 4 * DAY)
  t.same(third[1], next[0])
  t.notOk(third.some(key => key.equals(first!)))
  // A clock that goes back does not bring a key back.
  t.same(processTicketKeys(CONTEXT, now), third)
})

t.test('a period is two days', async t => {
  t.equal(ticketPeriod(0), 0)
  t.equal(ticketPeriod(2 * DAY - 1), 0)
  t.equal(ticketPeriod(2 * DAY), 1)
})

t.test('configured keys: in their order, the same everywhere', async t => {
  const keys = [Buffer.alloc(80, 1), Buffer.alloc(80, 2)]
  const derived = configuredTicketKeys(keys, CONTEXT)
  t.equal(derived.length, 2)
  t.same(configuredTicketKeys([keys[1]!], CONTEXT), [derived[1]])
  t.notSame(configuredTicketKeys(keys, Buffer.from('other')), derived)
})

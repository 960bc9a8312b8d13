import t from 'tap'
import { DeltaSubscription } from '../../../src/xds/delta-subscription.ts'

const plain = (subscription: DeltaSubscription) => {
  const { subscribe, unsubscribe, initialVersions } = subscription.take('', '')
  return { subscribe, unsubscribe, initial: Object.fromEntries(initialVersions) }
}

t.test('a type that is followed whole asks without names, on every stream', t => {
  const s = new DeltaSubscription('T')
  t.equal(s.pending, true)
  t.same(plain(s), { subscribe: [], unsubscribe: [], initial: {} })
  t.equal(s.pending, false)
  t.equal(s.onReceived('a', '1'), true)
  s.onStreamOpened()
  t.equal(s.pending, true)
  t.same(plain(s), { subscribe: [], unsubscribe: [], initial: { a: '1' } })
  t.end()
})

t.test('names are asked for once, and all of them again on a new stream', t => {
  const s = new DeltaSubscription('T')
  s.change(['a', 'b'], [])
  t.same(plain(s), { subscribe: ['a', 'b'], unsubscribe: [], initial: {} })
  s.change(['c'], ['a'])
  t.equal(s.pending, true)
  t.same(plain(s), { subscribe: ['c'], unsubscribe: ['a'], initial: {} })
  t.equal(s.onReceived('a', '1'), false, 'not wanted any more')
  t.equal(s.onReceived('b', '1'), true)
  s.onStreamOpened()
  t.same(plain(s), { subscribe: ['b', 'c'], unsubscribe: [], initial: { b: '1' } }, 'only what is there has a version')
  t.end()
})

t.test('wanted, dropped and wanted again is asked for anew; dropped before it was asked for is not mentioned', t => {
  const s = new DeltaSubscription('T')
  s.change(['a'], [])
  plain(s)
  s.change([], ['a'])
  s.change(['a'], [])
  t.same(plain(s), { subscribe: ['a'], unsubscribe: [], initial: {} })
  s.change([], ['nowhere'])
  t.equal(s.pending, false)
  t.end()
})

t.test('nobody wants anything any more: a new stream is not asked for everything', t => {
  const s = new DeltaSubscription('T')
  s.change(['a'], [])
  s.change([], ['a'])
  plain(s)
  s.onStreamOpened()
  t.equal(s.pending, false)
  t.end()
})

t.test('explicit *: a name beside it makes it explicit, and alone again it is asked for without names', t => {
  const s = new DeltaSubscription('T')
  s.change(['*', 'a'], [])
  t.same(plain(s), { subscribe: ['*', 'a'], unsubscribe: [], initial: {} })
  s.onReceived('a', '1')
  s.onReceived('b', '2')
  s.change([], ['a'])
  t.same(plain(s), { subscribe: [], unsubscribe: ['a'], initial: {} })
  t.equal(s.versionOf('a'), '1', 'the server will say whether it still belongs to *')
  s.onStreamOpened()
  t.same(plain(s), { subscribe: [], unsubscribe: [], initial: { a: '1', b: '2' } })
  s.onReceived('a', '3')
  s.change(['a'], [])
  s.onStreamOpened()
  t.same(plain(s), { subscribe: ['a', '*'], unsubscribe: [], initial: { a: '3', b: '2' } })
  s.change([], ['*'])
  t.equal(s.versionOf('b'), null)
  t.equal(s.versionOf('a'), '3')
  t.end()
})

t.test('a removed resource has no version: wanted names stay wanted', t => {
  const s = new DeltaSubscription('T')
  s.change(['*', 'a'], [])
  plain(s)
  for (const name of ['a', 'b', 'c']) s.onReceived(name, '1')
  s.change(['c'], [])
  s.change([], ['c'])
  for (const name of ['a', 'b', 'c']) s.onRemoved(name)
  t.same([...s.versions()], [])
  s.onStreamOpened()
  t.same(plain(s), { subscribe: ['*', 'a'], unsubscribe: [], initial: {} })
  t.end()
})

t.test('an answer has its nonce and error', t => {
  const s = new DeltaSubscription('T')
  t.match(s.take('n1', 'no'), { nonce: 'n1', error: 'no', typeUrl: 'T' })
  t.end()
})

import t from 'tap'
import { drainedChains, keptChains, onlyFilterChainsDiffer } from '../../../src/server/filter-chain-update.ts'

const chain = (name: string, extra: object = {}) => ({ name, filters: [{ name: 'f' }], ...extra })
const BASE = {
  name: 'l',
  address: { socket_address: { address: '127.0.0.1', port_value: 80 } },
  listener_filters: [{ name: 'a' }, { name: 'b' }],
  filter_chains: [chain('one'), chain('two')],
  default_filter_chain: chain('rest'),
}

t.test('an update of filter chains alone goes in place, whatever changes in them', async t => {
  t.equal(onlyFilterChainsDiffer(BASE, BASE), true)
  t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, filter_chains: [chain('three')] }), true)
  const { default_filter_chain: _, ...without } = BASE
  t.equal(onlyFilterChainsDiffer(BASE, without), true)
})

t.test('anything else replaces the listener, and so does a version without filter chains', async t => {
  t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, filter_chains: [] }), false)
  t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, listener_filters_timeout: 3000 }), false)
  t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, listener_filters: [{ name: 'a' }] }), false)
  t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, listener_filters: [{ name: 'a' }, { name: 'c' }] }), false)
  t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, enable_reuse_port: false }), false)
})

t.test(
  'defaults count as unset and the order of lists does not count (MessageDifferencer: EQUIVALENT, AS_SET)',
  async t => {
    t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, transparent: false, stat_prefix: '', metadata: {} }), true)
    t.equal(onlyFilterChainsDiffer(BASE, { ...BASE, listener_filters: [{ name: 'b' }, { name: 'a' }] }), true)
    t.equal(onlyFilterChainsDiffer({ ...BASE, enable_reuse_port: true }, BASE), true, 'its default is true')
  },
)

t.test('equal messages are kept wherever they stand; the default chain comes last and is only ever itself', async t => {
  const after = { ...BASE, filter_chains: [chain('new'), chain('two'), chain('one', { name: 'one' })] }
  t.same(keptChains(BASE, after), [-1, 1, 0, 2])
  t.equal(drainedChains(BASE, keptChains(BASE, after)), 0)
  const changed = { ...BASE, filter_chains: [chain('one', { filters: [] })], default_filter_chain: chain('two') }
  t.same(keptChains(BASE, changed), [-1, -1])
  t.equal(drainedChains(BASE, [-1, -1]), 3)
  const { default_filter_chain: _, ...without } = BASE
  t.same(keptChains(BASE, without), [0, 1, -1])
  t.equal(drainedChains(BASE, [0, 1, -1]), 1)
  t.same(keptChains(without, BASE), [0, 1, -1])
})

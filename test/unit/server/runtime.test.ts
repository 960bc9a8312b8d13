import t from 'tap'
import { RuntimeLoader } from '../../../src/server/runtime.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { RuntimeView } from '../../../src/worker/runtime.ts'

const load = (layers: object[]): { loader: RuntimeLoader; view: RuntimeView } => {
  const view = new RuntimeView()
  const loader = new RuntimeLoader({ layers } as never, new StatsStore(), entries => view.load(entries))
  view.load(loader.entries())
  return { loader, view }
}

t.test('nested structs are dotted keys and a FractionalPercent is one value', async t => {
  const { view } = load([
    {
      name: 's',
      static_layer: { lab: { some_key: 12, bool_key: true, frac: { numerator: 25, denominator: 'HUNDRED' } } },
    },
  ])
  t.equal(view.integer('lab.some_key', 0), 12)
  t.equal(view.boolean('lab.bool_key', false), true)
  t.equal(view.fraction('lab.frac', 0, 100, 24), true)
  t.equal(view.fraction('lab.frac', 0, 100, 25), false)
})

t.test('a later layer wins, and an empty value takes an admin override away', async t => {
  const { loader, view } = load([
    { name: 's', static_layer: { key: 1 } },
    { name: 'admin', admin_layer: {} },
  ])
  t.equal(loader.modify([['key', '7']]), true)
  t.equal(view.integer('key', 0), 7)
  loader.modify([['key', '']])
  t.equal(view.integer('key', 0), 1)
})

t.test('an integer where a fraction is expected counts per hundred', async t => {
  const { view } = load([{ name: 's', static_layer: { half: 50 } }])
  t.equal(view.fraction('half', 0, 10_000, 149), true)
  t.equal(view.fraction('half', 0, 10_000, 150), false)
})

t.test('without the key the configured default decides', async t => {
  const { view } = load([])
  t.equal(view.fraction('none', 1, 10_000, 10_000), true)
  t.equal(view.fraction('none', 1, 10_000, 10_001), false)
  t.equal(view.integer('none', 9), 9)
  t.equal(view.boolean('none', true), true)
})

t.test('two admin layers and disk layers are refused', async t => {
  t.throws(
    () =>
      load([
        { name: 'a', admin_layer: {} },
        { name: 'b', admin_layer: {} },
      ]),
    /Too many admin layers/,
  )
  t.throws(() => load([{ name: 'a', disk_layer: {} }]), /disk_layer is not supported/)
})

t.test('a discovered layer has its place in the order; one that is no good changes nothing', async t => {
  const { loader, view } = load([
    { name: 's', static_layer: { a: 1, b: 1 } },
    { name: 'd', rtds_layer: { name: 'resource', rtds_config: { ads: {} } } },
    { name: 'admin', admin_layer: {} },
  ])
  const [layer] = loader.discovered
  t.match(layer, { name: 'resource', source: { ads: {} } })
  layer!.replace({ a: 2, nested: { c: 3 } })
  t.equal(view.integer('a', 0), 2)
  t.equal(view.integer('b', 0), 1)
  t.equal(view.integer('nested.c', 0), 3)
  loader.modify([['a', '9']])
  t.equal(view.integer('a', 0), 9)
  t.throws(() => layer!.replace({ a: 4, d: [1] }), /Invalid runtime entry value for d/)
  loader.modify([['a', '']])
  t.equal(view.integer('a', 0), 2)
  layer!.replace({})
  t.equal(view.integer('a', 0), 1)
  t.equal(view.get('nested.c'), undefined)
})

t.test('without an admin layer nothing can be modified', async t => {
  t.equal(load([{ name: 's', static_layer: {} }]).loader.modify([['a', 'b']]), false)
})

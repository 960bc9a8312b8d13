import t from 'tap'
import { StreamTable } from '../../../../src/codec/http2/stream-table.ts'

interface Entry {
  readonly id: number
}

const entry = (id: number): Entry => ({ id })

t.test('finds the streams that are in it and no others', async t => {
  const table = new StreamTable<Entry>()
  const [one, three] = [entry(1), entry(3)]
  table.add(one)
  table.add(three)
  t.equal(table.get(1), one)
  t.equal(table.get(3), three)
  t.equal(table.get(5), undefined)
  t.notOk(table.has(7))
  t.equal(table.size, 2)
  table.delete(one)
  t.notOk(table.has(1))
  t.equal(table.get(3), three)
  table.delete(one)
  t.equal(table.size, 1, 'a second removal changes nothing')
})

t.test('the snapshot is in the order of ids, also around the end of the table', async t => {
  const table = new StreamTable<Entry>()
  for (const id of [13, 15, 17, 9]) table.add(entry(id))
  t.same(
    table.snapshot().map(s => s.id),
    [9, 13, 15, 17],
  )
})

t.test('agrees with a Map whatever comes and goes, ids that collide included', async t => {
  let seed = 1
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    return (seed >>> 8) % below
  }
  for (const stride of [2, 16, 256, 1 << 20]) {
    const table = new StreamTable<Entry>()
    const map = new Map<number, Entry>()
    let last = 1
    for (let step = 0; step < 4000; step++) {
      // Waves: the table grows to some hundred streams and empties again.
      const growing = step % 1000 < 500
      if (random(4) < (growing ? 3 : 1)) {
        const s = entry(last)
        last += random(3) === 0 ? 2 : stride
        table.add(s)
        map.set(s.id, s)
      } else if (map.size > 0) {
        const victim = [...map.values()][random(map.size)]!
        table.delete(victim)
        map.delete(victim.id)
        if (table.has(victim.id)) t.fail('a removed stream is still there')
      }
      const probe = 1 + 2 * random(last)
      if (table.get(probe) !== map.get(probe)) t.fail(`${probe} differs`)
    }
    t.equal(table.size, map.size)
    t.same(table.snapshot(), [...map.values()], `stride ${stride}`)
    for (const s of map.values()) table.delete(s)
    t.equal(table.size, 0)
    t.same(table.snapshot(), [])
  }
})

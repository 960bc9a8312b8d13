import t from 'tap'
import { elementOf, shelve as steps } from '../../../src/base/shelf.ts'
import { PartSharer } from '../../../src/server/part-sharer.ts'

function shelve(owner: object, key: string): boolean {
  const all = steps(owner, key)
  for (;;) {
    const { done, value } = all.next()
    if (done === true) return value
  }
}

const cluster = (i: number) => ({ name: `c${i}`, hosts: [{ address: `10.0.0.${i}`, tags: [] as string[] }] })

t.test('a long list becomes bytes, and reads as before', async t => {
  const list = Array.from({ length: 300 }, (_, i) => cluster(i))
  const owner = { clusters: list, listeners: [1] }
  const copy = structuredClone(owner)
  t.equal(shelve(owner, 'clusters'), true)
  t.not(owner.clusters, list, 'the objects are gone')
  t.strictSame({ ...owner }, copy)
  t.strictSame(elementOf(owner, 'clusters', 7), cluster(7))
  t.equal(shelve(owner, 'clusters'), false, 'once is enough')
})

t.test('a short list stays as it is', async t => {
  const owner = { clusters: [cluster(1)] }
  const [first] = owner.clusters
  t.equal(shelve(owner, 'clusters'), false)
  t.equal(shelve(owner, 'routes'), false)
  t.equal(elementOf(owner, 'clusters', 0), first)
})

t.test('equal parts become one object, different ones keep their own', async t => {
  const config = (name: string, retries: number) => ({
    name,
    breakers: { thresholds: [{ connections: 1, retries }], empty: [] as number[] },
    bytes: new Uint8Array([1]),
  })
  const all = [config('a', 3), config('b', 3), config('c', 4)] as const
  const before = structuredClone(all)
  const sharer = new PartSharer()
  for (const each of all) sharer.share(each)
  t.strictSame(all, before)
  t.equal(all[0].breakers, all[1].breakers)
  t.not(all[0].breakers, all[2].breakers)
  t.equal(all[0].breakers.empty, all[2].breakers.empty)
})

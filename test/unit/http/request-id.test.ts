import t from 'tap'
import { XorShift } from '../../../src/base/random.ts'
import { newRequestId } from '../../../src/http/request-id.ts'

t.test('request ids are version 4 UUIDs (RFC 9562 §5.4), none of which comes twice', async t => {
  const random = new XorShift(7)
  const ids = Array.from({ length: 1000 }, () => newRequestId(random))
  t.equal(new Set(ids).size, 1000)
  for (const id of ids) {
    if (!/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) return void t.fail(id)
  }
  // Every digit that may vary does.
  for (let i = 0; i < 36; i++) {
    const seen = new Set(ids.map(id => id[i]))
    t.equal(seen.size, [8, 13, 14, 18, 23].includes(i) ? 1 : i === 19 ? 4 : 16, `place ${i}`)
  }
  return undefined
})

import t from 'tap'
import { segmentsSince } from '../../../src/io/tcp-info.ts'

t.test('a count of the kernel that began anew goes on', async t => {
  t.equal(segmentsSince(3, 10), 7)
  t.equal(segmentsSince(0xfffffff0, 5), 21)
})

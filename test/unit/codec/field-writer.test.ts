import t from 'tap'
import { FieldWriter } from '../../../src/codec/http1/field-writer.ts'
import { properCaseName } from '../../../src/codec/http1/names.ts'

const plain = (list: readonly string[]): string =>
  Array.from({ length: list.length / 2 }, (_, i) => `${list[i * 2]!}: ${list[i * 2 + 1]!}\r\n`).join('')

t.test('whatever was written before, the lines are those of the list', async t => {
  const writer = new FieldWriter(name => name)
  let seed = 3
  const random = (n: number): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return (seed >> 8) % n
  }
  for (let round = 0; round < 4000; round++) {
    // Mostly the same, so that a beginning is kept and lost again.
    const count = round % 50 === 0 ? random(40) : 6
    const list: string[] = []
    for (let i = 0; i < count; i++) list.push(`name-${i}`, random(60) === 0 ? `other-${random(3)}` : `value-${i}`)
    t.equal(writer.write(list), plain(list))
  }
})

t.test('names are spelled as asked', async t => {
  const writer = new FieldWriter(properCaseName)
  for (let i = 0; i < 5; i++) t.equal(writer.write(['content-type', 'a', 'x-b', 'c']), 'Content-Type: a\r\nX-B: c\r\n')
})

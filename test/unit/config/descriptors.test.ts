import { readFileSync } from 'node:fs'
import t from 'tap'
import { enumType, hasMessageType, messageType, messageTypeNames } from '../../../src/config/descriptors.ts'

const file = readFileSync(new URL('../../../proto/descriptors.jsonl', import.meta.url), 'latin1')
const lines = file.split('\n').slice(0, -1)
const names = lines.map(line => line.slice(0, line.indexOf('\t')))

t.test('the file is sorted by name, as a binary search needs it, and ends with a line', async t => {
  t.same(names, [...names].sort())
  t.equal(file.at(-1), '\n')
})

t.test('every message and enum of the file is found, the first and the last too', async t => {
  const isMessage = (i: number): boolean => lines[i]!.startsWith('{"f"', names[i]!.length + 1)
  t.same(
    names.filter(hasMessageType),
    names.filter((_, i) => isMessage(i)),
  )
  t.same(messageTypeNames(), names.filter(hasMessageType))
  for (const [i, name] of names.entries()) {
    const type = isMessage(i) ? messageType(name) : enumType(name)
    if (type.name !== name) t.fail(`${name} is read as ${type.name}`)
  }
})

t.test('names before, between and behind those of the file are not found', async t => {
  for (const name of ['', 'a', 'zzz', `${names[0]}a`, names[5]!.slice(0, -1), `${names.at(-1)}.More`]) {
    t.equal(hasMessageType(name), false, name)
    t.throws(() => messageType(name), /no message/)
  }
})

import t from 'tap'
import { parseJsonText } from '../../../src/config/json-text.ts'

t.test('an integer that a number cannot hold survives wherever it stands in the text', async t => {
  for (let pad = 0; pad < 40; pad++) {
    const text = `{"a":"${'x'.repeat(pad)}","n":9007199254740993}`
    t.equal((parseJsonText(text, 'x.Y', 'f.json') as { n: unknown }).n, 9007199254740993n, `${pad}`)
    const short = `{"a":"${'x'.repeat(pad)}","n":900719925474099}`
    t.equal((parseJsonText(short, 'x.Y', 'f.json') as { n: unknown }).n, 900719925474099)
  }
})

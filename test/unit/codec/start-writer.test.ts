import t from 'tap'
import { StartWriter } from '../../../src/codec/http1/start-writer.ts'

t.test('a request line and its Host are what this request says, whatever was sent before', async t => {
  const writer = new StartWriter('Host')
  const long = `/${'x'.repeat(600)}`
  const methods = ['GET', 'POST']
  const targets = ['/', '/', '/a', '/', long, long, '/', '/0123456789/0123456789', '/0123456789/0123456789']
  for (const method of methods) {
    for (const target of targets) {
      for (const host of ['a.test', 'a.test', 'a.test', 'b.test', ''])
        t.equal(writer.write(method, target, host), `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n`)
    }
  }
})

import t from 'tap'
import { OptionError } from '../../../bench/load/options.ts'
import { portsOf } from '../../../bench/load/user/bootstrap.ts'
import { readHar, readUrlList } from '../../../bench/load/user/requests.ts'
import { wrkScript } from '../../../bench/load/user/wrk-script.ts'

t.test('a list has a URL per line, with a method before it if it is not GET', async t => {
  const list = '# shop\nhttp://shop.test:8080/a?b=c\n\nDELETE http://shop.test/cart\n'
  t.match(readUrlList(list), [
    { method: 'GET', host: 'shop.test:8080', path: '/a?b=c' },
    { method: 'DELETE', host: 'shop.test', path: '/cart' },
  ])
  t.throws(() => readUrlList('/a'), OptionError)
})

t.test('a recording keeps method, path, headers and body, and drops what belongs to its connection', async t => {
  const request = {
    method: 'POST',
    url: 'https://shop.test/pay?x=1',
    headers: [
      { name: ':authority', value: 'shop.test' },
      { name: 'Connection', value: 'keep-alive' },
      { name: 'Content-Length', value: '2' },
      { name: 'Accept', value: 'text/html' },
    ],
    postData: { text: '{}' },
  }
  t.same(readHar(JSON.stringify({ log: { entries: [{ request }] } }), 'x.har'), [
    { method: 'POST', host: 'shop.test', path: '/pay?x=1', headers: { Accept: 'text/html' }, body: '{}' },
  ])
  t.throws(() => readHar('{}', 'x.har'), { message: /no HAR/ })
  t.throws(() => readHar('<', 'x.har'), OptionError)
})

t.test('nothing in a recording can end the string it stands in', async t => {
  const script = wrkScript([{ method: 'GET', host: 'h', path: '/"..os.execute("x")--\n\\', headers: {}, body: '' }])
  t.match(script, '"/\\034..os.execute(\\034x\\034)--\\010\\092"')
})

t.test('listener and admin ports are found under both names of a field', async t => {
  const text = `
admin: { address: { socketAddress: { address: 127.0.0.1, portValue: 9901 } } }
static_resources:
  listeners:
  - address: { socket_address: { address: 0.0.0.0, port_value: 10000 } }
`
  t.same(portsOf(text, 'x'), { listen: 10000, admin: 9901 })
  t.same(portsOf('{}', 'x'), { listen: null, admin: null })
  t.throws(() => portsOf('a: [', 'x'), OptionError)
})

import t from 'tap'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { HeadParser, HeadResult } from '../../../src/codec/http1/head-parser.ts'
import { Random } from './http2/random.ts'

const FIELDS = ['Host: a', 'X-One: 1', 'Content-Length: 3', 'x-two:  2 ', 'Connection: close, x-one']
const REQUEST = `GET / HTTP/1.1\r\n${FIELDS.join('\r\n')}\r\n\r\n`

function parse(parser: HeadParser, text: string): { end: number; block: HeaderBlock } {
  const block = new HeaderBlock()
  return { end: parser.parseRequest(text, 0, block), block }
}

t.test('a head that comes again on the connection gives the same facts', async t => {
  const parser = new HeadParser(100)
  const first = parse(parser, REQUEST)
  for (let i = 0; i < 3; i++) {
    const again = parse(parser, REQUEST)
    t.equal(again.end, REQUEST.length)
    t.same(again.block, first.block)
    t.equal(parser.contentLength, 3)
    t.equal(parser.close, true)
    t.equal(parser.hasHost, true)
    t.equal(parser.nominates, true)
    t.equal(parser.fieldLines, 5)
  }
})

t.test('heads of random lines parse on a used connection as on a fresh one', async t => {
  const pool = [
    ...FIELDS,
    'X-One: 2',
    'cookie: a=b',
    ' folded',
    'x-bad: \x01',
    'x-lf: 1',
    'transfer-encoding: chunked',
    'Host: b',
    'nocolon',
  ]
  const random = new Random(7)
  let used = new HeadParser(8)
  for (let round = 0; round < 3000; round++) {
    const lines = Array.from(
      { length: random.below(7) },
      () => pool[random.below(random.below(4) === 0 ? pool.length : 5)]!,
    )
    const text = `GET /${random.below(3)} HTTP/1.1\r\n${lines.map(line => line + (random.below(20) === 0 ? '\n' : '\r\n')).join('')}\r\n`
    const fresh = new HeadParser(8)
    const expected = parse(fresh, text)
    // Piecewise: an incomplete head is parsed again when more of it came.
    if (random.below(3) === 0) parse(used, text.slice(0, random.below(text.length)))
    const got = parse(used, text)
    if (got.end !== expected.end) t.equal(got.end, expected.end, JSON.stringify(text))
    if (expected.end >= 0) t.same(got.block, expected.block, JSON.stringify(text))
    t.same(
      [used.contentLength, used.chunked, used.close, used.hasHost, used.details, used.status],
      [fresh.contentLength, fresh.chunked, fresh.close, fresh.hasHost, fresh.details, fresh.status],
    )
    if (got.end === HeadResult.Error) used = new HeadParser(8)
  }
})

t.test('status lines that come again are read as on a fresh connection', async t => {
  const lines = [
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 204\r\n',
    'HTTP/1.0 200 OK\r\n',
    'HTTP/1.1 200 OK\n',
    'HTTP/1.1 200 O\x01K\r\n',
    'HTTP/1.1 20\r\n',
  ]
  const fields = ['content-length: 0\r\n\r\n', 'x-one: 1\r\ncontent-length: 3\r\n\r\n', '\r\n', 'x-one: 1\r\n']
  const read = (parser: HeadParser, text: string): unknown[] => {
    const block = new HeaderBlock()
    const end = parser.parseResponse(text, 0, block)
    return end < 0 ? [end, parser.details] : [end, block.status, block.list, parser.http11, parser.contentLength]
  }
  const random = new Random(11)
  let used = new HeadParser(8)
  for (let round = 0; round < 3000; round++) {
    const text = lines[random.below(random.below(3) === 0 ? lines.length : 2)]! + fields[random.below(fields.length)]!
    const expected = read(new HeadParser(8), text)
    const got = read(used, text)
    if (JSON.stringify(got) !== JSON.stringify(expected)) t.same(got, expected, JSON.stringify(text))
    if (got[0] === HeadResult.Error) used = new HeadParser(8)
  }
  t.pass()
})

t.test('a line that was remembered from half a head is still checked', async t => {
  const parser = new HeadParser(100)
  const bad = 'GET / HTTP/1.1\r\nx-bad: a\x01b\r\n'
  t.equal(parse(parser, bad).end, HeadResult.Incomplete)
  t.equal(parse(parser, `${bad}\r\n`).end, HeadResult.Error)
  t.equal(parser.details, 'http1.invalid_characters')
})

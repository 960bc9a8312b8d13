import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { HeaderBlock, PseudoOrder } from '../../../../src/codec/header-block.ts'
import { BlockKind, HeaderReceiver } from '../../../../src/codec/http2/header-receiver.ts'
import { HpackDecoder } from '../../../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../../src/codec/http2/hpack-encoder.ts'
import { huffmanDecode, huffmanEncode, huffmanLength } from '../../../../src/codec/http2/hpack-huffman.ts'
import { Random } from './random.ts'

const corpus = new URL('../../../fixtures/hpack/', import.meta.url)

/** Collects fields as they come, without the checks that messages need. */
class Fields extends HeaderReceiver {
  readonly lines: string[] = []
  constructor() {
    super(1 << 30, 1 << 30, 0, true)
  }

  override field(name: { name: string }, value: string): void {
    this.lines.push(`${name.name}: ${value}`)
  }
}

function decode(hpack: HpackDecoder, wire: Buffer): string[] | null {
  const fields = new Fields()
  return hpack.decode(wire, 0, wire.length, fields) ? fields.lines : null
}

interface Story {
  cases: { wire: string; header_table_size?: number; headers: Record<string, string>[] }[]
}

for (const implementation of readdirSync(corpus).filter(name => !name.includes('.') && name !== 'LICENSE')) {
  t.test(`blocks of ${implementation} decode to the corpus’ fields`, async t => {
    for (const file of readdirSync(new URL(`${implementation}/`, corpus))) {
      const story = JSON.parse(readFileSync(new URL(`${implementation}/${file}`, corpus), 'utf8')) as Story
      const hpack = new HpackDecoder()
      for (const { wire, headers, header_table_size: size } of story.cases) {
        if (size !== undefined) hpack.setLimit(size)
        const expected = headers.flatMap(h => Object.entries(h).map(([name, value]) => `${name}: ${value}`))
        if (JSON.stringify(decode(hpack, Buffer.from(wire, 'hex'))) !== JSON.stringify(expected)) {
          t.fail(`${file}: ${wire}`)
          return
        }
      }
    }
    t.pass()
  })
}

t.test('RFC 7541 appendix C.3 to C.6: requests and responses, plain and Huffman, with eviction', async t => {
  const requests = [
    ['828684410f7777772e6578616d706c652e636f6d', ''],
    ['828684be58086e6f2d6361636865', 'cache-control: no-cache'],
    ['828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565', 'custom-key: custom-value'],
  ]
  const huffman = [
    ['828684418cf1e3c2e5f23a6ba0ab90f4ff', ''],
    ['828684be5886a8eb10649cbf', 'cache-control: no-cache'],
    ['828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf', 'custom-key: custom-value'],
  ]
  for (const set of [requests, huffman]) {
    const hpack = new HpackDecoder()
    for (const [i, [wire, last]] of set.entries()) {
      const lines = decode(hpack, Buffer.from(wire!, 'hex'))!
      const path = i === 2 ? '/index.html' : '/'
      const expected = [
        ':method: GET',
        `:scheme: ${i === 2 ? 'https' : 'http'}`,
        `:path: ${path}`,
        ':authority: www.example.com',
      ]
      if (last !== '') expected.push(last!)
      t.same(lines, expected)
    }
  }
  const responses = [
    '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
    '4883640effc1c0bf',
    '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
  ]
  const hpack = new HpackDecoder()
  // The appendix uses a table of 256 octets; the first block of ours says so.
  decode(hpack, Buffer.from('3fe101', 'hex'))
  const lines = responses.map(wire => decode(hpack, Buffer.from(wire, 'hex')))
  t.equal(lines[1]![0], ':status: 307')
  t.equal(lines[2]!.at(-1), 'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1')
  t.equal(lines[2]!.at(-2), 'content-encoding: gzip')
})

t.test('Huffman: every octet survives, and bad padding or EOS is refused', async t => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('latin1')
  const wire = Buffer.alloc(2048)
  const end = huffmanEncode(all, wire, 0)
  t.equal(end, huffmanLength(all))
  const out = Buffer.alloc(4096)
  t.equal(out.toString('latin1', 0, huffmanDecode(wire, 0, end, out, 0)), all)
  for (const hex of ['ffffffff', 'ff', '18', '1fff']) {
    const bytes = Buffer.from(hex, 'hex')
    t.equal(huffmanDecode(bytes, 0, bytes.length, out, 0), -1, hex)
  }
  const random = new Random(7)
  for (let i = 0; i < 2000; i++) {
    const text = random.text(40)
    const stop = huffmanEncode(text, wire, 3)
    t.equal(out.toString('latin1', 0, huffmanDecode(wire, 3, stop, out, 0)), text) || t.bailout()
  }
})

t.test('invalid blocks are compression errors', async t => {
  const bad: Record<string, string> = {
    'index 0': '80',
    'index beyond the tables': 'be',
    'name index beyond the tables': '7f0001',
    'integer cut short': 'ff',
    'integer too large': 'ffffffffffff0f',
    'string longer than the block': '000561',
    'value missing': '000161',
    'size update above the limit': '3fe21f',
    'size update after a field': '8220',
    'Huffman padding': '00016181 00'.replace(' ', ''),
  }
  for (const [what, hex] of Object.entries(bad)) {
    t.equal(decode(new HpackDecoder(), Buffer.from(hex, 'hex')), null, what)
  }
})

t.test('after the table was lowered the next block must begin with a size update', async t => {
  const hpack = new HpackDecoder()
  hpack.setLimit(100)
  t.equal(decode(hpack, Buffer.from('82', 'hex')), null)
  const told = new HpackDecoder()
  told.setLimit(0)
  t.same(decode(told, Buffer.from('2082', 'hex')), [':method: GET'])
})

t.test('pseudo headers leave in the order in which they came, added ones last', async t => {
  const block = new HeaderBlock()
  block.method = 'GET'
  block.path = '/'
  block.scheme = 'https'
  block.authority = 'a.test'
  block.pseudoOrder = (PseudoOrder.Scheme << 3) | PseudoOrder.Method
  const wire = Buffer.alloc(HpackEncoder.bound(block))
  const end = new HpackEncoder(4096).encode(block, wire, 0)
  t.same(decode(new HpackDecoder(), wire.subarray(0, end)), [
    ':scheme: https',
    ':method: GET',
    ':path: /',
    ':authority: a.test',
  ])
})

t.test('what the encoder writes the decoder reads, whatever the table sizes', async t => {
  const random = new Random(1)
  for (let round = 0; round < 40; round++) {
    const size = [0, 64, 300, 4096][round % 4]!
    const encoder = new HpackEncoder(size)
    const hpack = new HpackDecoder()
    const names = ['content-type', 'x-a', 'x-b', 'accept', 'authorization', 'cookie', 'date', 'x-request-id']
    const values = Array.from({ length: 6 }, () => random.text(60))
    for (let i = 0; i < 60; i++) {
      const block = new HeaderBlock()
      if (random.below(2) === 0) block.status = [200, 404, 599][random.below(3)]!
      else {
        block.method = random.below(2) === 0 ? 'GET' : 'PATCH'
        block.path = `/${values[random.below(6)]!}`
        block.authority = 'a.test'
        block.scheme = 'https'
      }
      for (let n = random.below(9); n > 0; n--) {
        const fresh = random.below(4) === 0
        block.push(names[random.below(names.length)]!, fresh ? random.text(300) : values[random.below(6)]!)
      }
      if (random.below(10) === 0) encoder.setPeerLimit([0, 100, 4096][random.below(3)]!)
      const wire = Buffer.alloc(HpackEncoder.bound(block))
      const end = encoder.encode(block, wire, 0)
      const expected: string[] = []
      if (block.status !== 0) expected.push(`:status: ${block.status}`)
      else {
        // The order of a request that came over HTTP/1: Host is a field, the rest is known at the end of the head.
        expected.push(':authority: a.test', `:path: ${block.path}`, `:method: ${block.method}`, ':scheme: https')
      }
      for (let k = 0; k < block.list.length; k += 2) expected.push(`${block.list[k]}: ${block.list[k + 1]}`)
      const lines = decode(hpack, wire.subarray(0, end))
      if (JSON.stringify(lines) !== JSON.stringify(expected)) {
        t.same(lines, expected, `round ${round} block ${i}`)
        return
      }
    }
  }
  t.pass()
})

t.test('a repeated head shrinks to indexes; unique values and short secrets stay out of the table', async t => {
  const encoder = new HpackEncoder(4096)
  const wire = Buffer.alloc(4096)
  const sizes: number[] = []
  for (let i = 0; i < 5; i++) {
    const block = new HeaderBlock()
    block.method = 'GET'
    block.path = '/api'
    block.scheme = 'http'
    block.authority = 'shop.test'
    block.push('user-agent', 'curl/8')
    block.push('x-request-id', `id-${i}`)
    block.push('authorization', 'Basic eA==')
    block.push('connection', 'close')
    sizes.push(encoder.encode(block, wire, 0))
  }
  t.ok(sizes[4]! < 60 && sizes[4] === sizes[3], String(sizes))
  t.ok(wire.subarray(0, sizes[4]).includes('Basic'), 'authorization is literal')
  t.notOk(wire.subarray(0, sizes[4]).includes('close'))
})

t.test('requests are checked as RFC 9113 §8 and Envoy do', async t => {
  const base = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a']
  const cases: [string, string[], string][] = [
    ['plain', base, ''],
    ['upper case', [...base, 'X-a', 'b'], 'http2.invalid.header.field'],
    ['connection', [...base, 'connection', 'close'], 'http2.invalid.header.field'],
    ['te gzip', [...base, 'te', 'gzip'], 'http2.invalid.header.field'],
    ['te trailers', [...base, 'te', 'trailers'], ''],
    ['no path', base.filter((_, i) => i !== 4 && i !== 5), 'http2.violation.of.messaging.rule'],
    ['no authority', base.slice(0, 6), 'http2.violation.of.messaging.rule'],
    ['host instead of authority', [...base.slice(0, 6), 'host', 'h'], ''],
    ['pseudo after regular', ['x', 'y', ...base], 'http2.invalid.header.field'],
    ['pseudo twice', [...base, ':path', '/'], 'http2.invalid.header.field'],
    ['status', [...base, ':status', '200'], 'http2.invalid.header.field'],
    ['control in value', [...base, 'x', 'a\nb'], 'http2.invalid.header.field'],
    [
      'relative path',
      [':method', 'GET', ':scheme', 'http', ':path', 'x', ':authority', 'a'],
      'http2.violation.of.messaging.rule',
    ],
    [
      'blank in a pseudo header',
      [':method', 'GET', ':scheme', 'http', ':path', '/ ', ':authority', 'a'],
      'http2.invalid.header.field',
    ],
    ['OPTIONS *', [':method', 'OPTIONS', ':scheme', 'http', ':path', '*', ':authority', 'a'], ''],
    [
      'userinfo',
      [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'u@a'],
      'http2.invalid.header.field',
    ],
    ['CONNECT', [':method', 'CONNECT', ':authority', 'a:1'], ''],
    [
      'CONNECT with a path',
      [':method', 'CONNECT', ':authority', 'a:1', ':path', '/'],
      'http2.violation.of.messaging.rule',
    ],
    ['two content-lengths', [...base, 'content-length', '0', 'content-length', '0'], 'http2.invalid.header.field'],
    ['bad content-length', [...base, 'content-length', '5x'], 'http2.invalid.header.field'],
    ['too many', [...base, ...Array.from({ length: 40 }, () => 'x')], 'http2.too_many_headers'],
    ['too large', [...base, 'x', 'y'.repeat(2000)], 'http2.header_list_size_too_large'],
  ]
  for (const [what, list, error] of cases) {
    const block: number[] = []
    for (const text of list.map((_, i) => i).filter(i => i % 2 === 0)) {
      block.push(0)
      for (const part of [list[text]!, list[text + 1]!]) {
        if (part.length < 127) block.push(part.length)
        else block.push(127, ((part.length - 127) & 127) | 128, (part.length - 127) >> 7)
        block.push(...Buffer.from(part, 'latin1'))
      }
    }
    const receiver = new HeaderReceiver(1500, 20, 0, false)
    receiver.begin(BlockKind.Request)
    t.ok(new HpackDecoder().decode(Buffer.from(block), 0, block.length, receiver), what)
    t.equal(receiver.finish(), error, what)
  }
})

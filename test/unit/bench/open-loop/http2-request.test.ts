import t from 'tap'
import { RequestBlocks, requestFrames } from '../../../../bench/load/open-loop/http2-request.ts'
import { HpackDecoder } from '../../../harness/hpack.ts'

const REQUEST = {
  method: 'POST',
  scheme: 'http',
  authority: 'lab.test:8080',
  path: '/a/path?q=1',
  headers: [
    ['content-type', 'application/grpc'],
    ['x-long', 'v'.repeat(300)],
  ] as [string, string][],
  body: Buffer.from('hello'),
}

const FIELDS = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a/path?q=1'],
  [':authority', 'lab.test:8080'],
  ['content-type', 'application/grpc'],
  ['x-long', 'v'.repeat(300)],
  ['content-length', '5'],
]

for (const tableSize of [4096, 65536, 500, 100, 0]) {
  t.test(`first and later blocks say the same to a peer with a table of ${tableSize}`, t => {
    const blocks = new RequestBlocks([REQUEST], tableSize)
    const decoder = new HpackDecoder()
    for (let i = 0; i < 4; i++) t.same(decoder.decode(blocks.block(0)), FIELDS)
    if (tableSize >= 500) t.ok(blocks.block(0).length < 30, 'later ones refer to the table')
    t.end()
  })
  t.test(`different requests in turn share a table of ${tableSize}, and their blocks stop changing`, t => {
    const other = {
      ...REQUEST,
      method: 'GET',
      path: '/',
      headers: [['x-own', '1']] as [string, string][],
      body: Buffer.alloc(0),
    }
    const blocks = new RequestBlocks([REQUEST, other], tableSize)
    const decoder = new HpackDecoder()
    const OTHER = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'lab.test:8080'],
      ['x-own', '1'],
    ]
    for (const index of [0, 1, 1, 0, 1, 0, 0]) t.same(decoder.decode(blocks.block(index)), index === 0 ? FIELDS : OTHER)
    t.equal(blocks.block(1), blocks.block(1))
    t.end()
  })
}

t.test('frames carry their lengths, the end of the stream is on the last one', t => {
  const block = Buffer.from([0x82])
  t.same(requestFrames(block, Buffer.alloc(0)).toString('hex'), '000001010500000000' + '82')
  t.same(
    requestFrames(block, Buffer.from('hi')).toString('hex'),
    '00000101040000000082' + '000002000100000000' + '6869',
  )
  t.end()
})

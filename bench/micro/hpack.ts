/** HPACK cost per header block: `node bench/micro/hpack.ts`. */
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { BlockMemo } from '../../src/codec/http2/block-memo.ts'
import { BlockKind, HeaderReceiver } from '../../src/codec/http2/header-receiver.ts'
import { HpackDecoder } from '../../src/codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../src/codec/http2/hpack-encoder.ts'
import { measure } from './reference.ts'

const N = 20_000

function head(fields: string[], path = '/api/v1/items'): HeaderBlock {
  const h = new HeaderBlock()
  h.method = 'GET'
  h.scheme = 'http'
  h.path = path
  h.authority = 'shop.example.com'
  h.list.push(...fields)
  return h
}

const browser = [
  'user-agent',
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36',
  'accept',
  'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'accept-encoding',
  'gzip, deflate, br',
  'accept-language',
  'en-US,en;q=0.9',
  'cache-control',
  'no-cache',
  'referer',
  'https://shop.example.com/',
  'cookie',
  'session=0123456789abcdef0123456789abcdef; theme=dark',
  'sec-fetch-mode',
  'navigate',
  'sec-fetch-site',
  'same-origin',
  'upgrade-insecure-requests',
  '1',
]
const grpc = [
  'te',
  'trailers',
  'content-type',
  'application/grpc',
  'user-agent',
  'grpc-go/1.64.0',
  'grpc-timeout',
  '5S',
  'grpc-accept-encoding',
  'gzip',
]

function ids(i: number): string {
  return `7f3c-${(i * 2654435761) >>> 0}-${i}`
}

for (const [name, fields] of [
  ['browser', browser],
  ['grpc', grpc],
] as const) {
  for (const unique of [false, true]) {
    const encoder = new HpackEncoder(4096)
    const out = Buffer.alloc(8192)
    const blocks: HeaderBlock[] = []
    for (let i = 0; i < 1000; i++) blocks.push(head(unique ? [...fields, 'x-request-id', ids(i)] : [...fields]))
    const kind = unique ? 'with a unique id' : 'repeated'
    measure(
      `encode ${name} head, ${kind}`,
      () => {
        for (let i = 0; i < N; i++) encoder.encode(blocks[i % 1000]!, out, 0)
      },
      N,
    )

    const wire: Buffer[] = []
    for (let i = 0; i < 1000; i++) wire.push(Buffer.from(out.subarray(0, encoder.encode(blocks[i]!, out, 0))))
    // A decoder whose table equals the encoder's: replay what a fresh encoder writes.
    const fresh = new HpackEncoder(4096)
    const decoder = new HpackDecoder()
    const receiver = new HeaderReceiver(60 * 1024, 100, 0, false)
    for (let i = 0; i < 10; i++) {
      receiver.begin(BlockKind.Request)
      decoder.decode(out, 0, fresh.encode(blocks[i]!, out, 0), receiver)
    }
    const steady: Buffer[] = []
    for (let i = 0; i < 1000; i++) steady.push(Buffer.from(out.subarray(0, fresh.encode(blocks[i]!, out, 0))))
    measure(
      `decode ${name} head, ${kind} (${steady[500]!.length} bytes)`,
      () => {
        for (let i = 0; i < N; i++) {
          const block = steady[i % 1000]!
          receiver.begin(BlockKind.Request)
          if (!decoder.decode(block, 0, block.length, receiver) || receiver.finish() !== '') throw new Error('decode')
        }
      },
      N,
    )
    const memo = new BlockMemo()
    measure(
      `decode ${name} head, ${kind}, with block memo`,
      () => {
        for (let i = 0; i < N; i++) {
          const block = steady[i % 1000]!
          receiver.begin(BlockKind.Request)
          if (memo.recall(decoder, BlockKind.Request, block, 0, block.length, receiver)) continue
          decoder.decode(block, 0, block.length, receiver)
          receiver.finish()
          memo.keep(decoder, BlockKind.Request, block, 0, block.length, receiver)
        }
      },
      N,
    )
  }
}

// A peer that never uses its table (nginx): every field a literal, Huffman-coded.
const encoder = new HpackEncoder(0)
const plain = Buffer.alloc(8192)
const end = encoder.encode(head([...browser]), plain, 0)
const decoder = new HpackDecoder()
const receiver = new HeaderReceiver(60 * 1024, 100, 0, false)
measure(
  `decode browser head, literals only (${end} bytes)`,
  () => {
    for (let i = 0; i < N; i++) {
      receiver.begin(BlockKind.Request)
      decoder.decode(plain, 0, end, receiver)
      receiver.finish()
    }
  },
  N,
)

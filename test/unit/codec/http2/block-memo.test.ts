import t from 'tap'
import { BlockMemo } from '../../../../src/codec/http2/block-memo.ts'
import { BlockKind, HeaderReceiver, UnderscoreAction } from '../../../../src/codec/http2/header-receiver.ts'
import { HpackDecoder } from '../../../../src/codec/http2/hpack-decoder.ts'

const receiver = (): HeaderReceiver => new HeaderReceiver(60_000, 100, UnderscoreAction.Allow, true)
const text = (value: string): number[] => [value.length, ...Buffer.from(value, 'latin1')]

/** One side of a connection, with the memo or without. */
class Side {
  readonly hpack = new HpackDecoder()
  readonly memo: BlockMemo | null
  readonly to = receiver()
  recalled = 0

  constructor(memo: BlockMemo | null) {
    this.memo = memo
  }

  decode(block: Buffer): string {
    if (this.memo?.recall(this.hpack, BlockKind.Response, block, 0, block.length, this.to) === true) this.recalled++
    else {
      this.to.begin(BlockKind.Response)
      if (!this.hpack.decode(block, 0, block.length, this.to)) return 'undecodable'
      this.to.finish()
      this.memo?.keep(this.hpack, BlockKind.Response, block, 0, block.length, this.to)
    }
    const { status, list } = this.to.block
    return this.to.error !== '' ? this.to.error : JSON.stringify([status, this.to.contentLength, list])
  }
}

t.test('a block that always makes the same entries is not read again, and leaves the table as if it were', async t => {
  let seed = 5
  const random = (n: number): number => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return (seed >> 8) % n
  }
  for (let round = 0; round < 40; round++) {
    const plain = new Side(null)
    const kept = new Side(new BlockMemo())
    // Few blocks, so that they repeat; the third kind of field refers to the dynamic table and means something else each time.
    const blocks = Array.from({ length: 5 }, () => {
      // Now and then the table is made smaller, or is given up.
      const bytes: number[] = random(9) !== 0 ? [] : random(3) === 0 ? [0x20] : [0x3f, random(2) === 0 ? 97 : 33]
      bytes.push(0x88)
      for (let fields = random(5); fields > 0; fields--) {
        const value = 'v'.repeat(random(3) === 0 ? random(120) : 2) + random(3)
        switch (random(6)) {
          case 0:
            bytes.push(0x40, ...text(`x-${random(3)}`), ...text(value))
            break
          case 1:
            bytes.push(0x76, ...text(value))
            break
          case 2:
            if (random(3) === 0) bytes.push(0xbe)
            break
          case 3:
            bytes.push(0, ...text('x-literal'), ...text(value))
            break
          case 4:
            // Nothing of a block with an error or a length is left to the next one.
            bytes.push(0, ...text(random(3) === 0 ? 'X-Upper' : 'content-length'), ...text('3'))
            break
          default:
            bytes.push(0x7f, 0, ...text(value))
        }
      }
      return Buffer.from(bytes)
    })
    for (let i = 0; i < 200; i++) {
      const block = blocks[random(blocks.length)]!
      const expected = plain.decode(block)
      const seen = kept.decode(block)
      if (seen !== expected) return void t.fail(`round ${round}, block ${i}: ${seen} for ${expected}`)
      if (expected === 'undecodable') break
    }
  }
  return undefined
})

t.test('answers of a peer that puts all fields into the table and never refers to them cost a comparison', async t => {
  const side = new Side(new BlockMemo())
  const block = Buffer.from([0x88, 0x76, ...text('nginx'), 0x61, ...text('Sat, 21 Nov 2026'), 0x5c, ...text('20')])
  const first = side.decode(block)
  for (let i = 0; i < 50; i++) t.equal(side.decode(block), first)
  t.equal(side.recalled, 49)
  t.match(
    side.decode(Buffer.from([0x88, 0xbe, 0xbf, 0xc0])),
    '["content-length","20","date","Sat, 21 Nov 2026","server","nginx"]',
  )
})

t.test('so do those of a peer that has given up its table and makes entries all the same, as nginx', async t => {
  const side = new Side(new BlockMemo())
  const fields = [0x88, 0x76, ...text('nginx'), 0x61, ...text('Sat, 21 Nov 2026'), 0x5c, ...text('20')]
  const block = Buffer.from(fields)
  const first = side.decode(Buffer.from([0x20, ...fields]))
  for (let i = 0; i < 50; i++) t.equal(side.decode(block), first)
  t.equal(side.recalled, 48)
  t.equal(side.decode(Buffer.from([0x88, 0xbe])), 'undecodable', 'there is no entry')
})

t.test('once there is a table again, its entries are made', async t => {
  const side = new Side(new BlockMemo())
  const block = Buffer.from([0x88, 0x40, ...text('x-a'), ...text('1')])
  side.decode(Buffer.from([0x20, 0x88]))
  for (let i = 0; i < 3; i++) side.decode(block)
  t.equal(side.recalled, 1)
  side.decode(Buffer.from([0x3f, 97, 0x88]))
  side.decode(block)
  t.equal(side.decode(Buffer.from([0x88, 0xbe])), '[200,-1,["x-a","1"]]')
})

import t from 'tap'
import { MAX_PROXY_HEADER, readProxyHeader } from '../../src/listener/filters/proxy-protocol-header.ts'
import { Random } from '../unit/codec/http2/random.ts'

const ROUNDS = 4000
const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'
const V4 = '\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\x07\xd0'
const SEEDS = [
  'PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n',
  'PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1000 2000\r\n',
  'PROXY UNKNOWN and whatever follows\r\n',
  `${SIGNATURE}\x21\x11\0\x0c${V4}`,
  `${SIGNATURE}\x21\x12\0\x14${V4}\xe0\0\x01a\xe1\0\x01b`,
  `${SIGNATURE}\x21\x21\0\x24${'\x20\x01'.repeat(16)}\x03\xe8\x07\xd0`,
  `${SIGNATURE}\x20\0\0\x03abc`,
].map(text => Buffer.from(text, 'latin1'))

function mutate(seed: Buffer, random: Random): Buffer {
  const bytes = Buffer.concat([seed, Buffer.from('GET / HTTP/1.1\r\n')])
  for (let n = random.below(4); n > 0; n--) {
    const at = random.below(seed.length)
    if (random.below(3) > 0) bytes[at] = random.below(256)
    else bytes.copyWithin(at, random.below(seed.length))
  }
  return bytes
}

t.test(`${ROUNDS} PROXY headers, most of them broken, are judged alike however they come in`, async t => {
  const random = new Random(31)
  let found = 0
  for (let round = 0; round < ROUNDS; round++) {
    const input = mutate(SEEDS[random.below(SEEDS.length)]!, random)
    const whole = readProxyHeader(input)
    for (let size = 1; size < input.length; size++) {
      const part = readProxyHeader(input.subarray(0, size))
      if (part.kind === 'more') continue
      if (JSON.stringify(part) !== JSON.stringify(whole)) t.same(part, whole, `${size} of ${input.toString('latin1')}`)
      break
    }
    if (whole.kind === 'more' && input.length >= MAX_PROXY_HEADER) t.fail('waits for more than a header has')
    if (whole.kind !== 'found') continue
    found++
    if (whole.length > input.length) t.fail(`takes ${whole.length} of ${input.length} bytes`)
  }
  t.ok(found > ROUNDS / 10, `${found} of them are headers`)
})

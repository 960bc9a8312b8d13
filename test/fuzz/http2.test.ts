import t from 'tap'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { Http2ClientCodec } from '../../src/codec/http2/client.ts'
import type { Http2Connection } from '../../src/codec/http2/connection.ts'
import { defaultHttp2Options } from '../../src/codec/http2/options.ts'
import { Http2ServerCodec } from '../../src/codec/http2/server.ts'
import { FakeConnection, FakeTimers, Recorder } from '../unit/codec/http2/fakes.ts'
import { assemble } from '../unit/codec/http2/frame-text.ts'
import { Random } from '../unit/codec/http2/random.ts'

const ROUNDS = 1500

const SEEDS = [
  [
    'SETTINGS 0 : 1=0 4=100000',
    'HEADERS 1 endh : GET content-length=5 cookie=a cookie=b',
    'DATA 1 : "hel"',
    'DATA 1 padded : hex 03 6c6f 000000',
    'HEADERS 1 end endh : t=v',
    'PING 0 : hex 0102030405060708',
    'HEADERS 3 padded prio : hex 02 00000000 10 00073a6d6574686f64 0000',
    'CONTINUATION 3 endh : hex 03474554 00073a736368656d65046874747000053a70617468012f000a3a617574686f726974790161',
    'WINDOW_UPDATE 3 : 500',
    'RST_STREAM 3 : 8',
    'HEADERS 5 end endh : hex 828684418cf1e3c2e5f23a6ba0ab90f4ff',
    'HEADERS 7 end endh : hex 828684be5886a8eb10649cbf',
    'GOAWAY 0 : hex 0000000000000000',
  ],
  [
    'SETTINGS 0 : 3=100',
    'HEADERS 1 endh : :status=103 link=x',
    'HEADERS 1 endh : :status=200 content-length=4',
    'DATA 1 end : "abcd"',
    'HEADERS 3 end endh : hex 488264025885aec3771a4b',
    'SETTINGS 0 ack',
    'GOAWAY 0 : hex 0000000300000000',
  ],
]

function mutate(input: Buffer, random: Random): Buffer {
  let bytes = Buffer.from(input)
  for (let n = 1 + random.below(4); n > 0; n--) {
    const at = random.below(bytes.length)
    switch (random.below(5)) {
      case 0:
        bytes[at] = random.below(256)
        break
      case 1:
        bytes[at] = bytes[at]! ^ (1 << random.below(8))
        break
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random.below(8))])
        break
      case 3: {
        const from = random.below(bytes.length)
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          bytes.subarray(from, from + random.below(64)),
          bytes.subarray(at),
        ])
        break
      }
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(random.text(20), 'latin1'), bytes.subarray(at)])
    }
  }
  return bytes
}

/** Answers now and then, so that the sending half is exercised too. */
function attach(recorder: Recorder, random: Random): void {
  const answer = new HeaderBlock()
  answer.status = 200
  answer.push('x', 'y')
  recorder.onHead = (s, _h, end) => {
    const what = random.below(6)
    if (what === 0) s.reset(random.below(10) as 0)
    else if (what < 3) {
      s.encodeHeaders(answer, false)
      s.encodeData(Buffer.alloc(random.below(70_000)), end || random.below(2) === 0)
    } else if (what === 3) s.holdReading(1, true)
  }
  recorder.onBody = s => {
    const what = random.below(8)
    if (what === 0) s.reset(0)
    else if (what === 1) s.holdReading(1, random.below(2) === 0)
    else if (what === 2) s.encodeTrailers(answer)
  }
}

for (const side of ['server', 'client'] as const) {
  t.test(`the ${side} codec survives ${ROUNDS} broken byte streams`, async t => {
    const random = new Random(side === 'server' ? 11 : 12)
    const valid = SEEDS.map(lines => assemble(lines, side === 'server'))
    let written = 0
    let read = 0
    for (let round = 0; round < ROUNDS; round++) {
      const connection = new FakeConnection()
      const recorder = new Recorder()
      attach(recorder, random)
      const timers = new FakeTimers()
      const options = {
        ...defaultHttp2Options,
        streamErrorOnInvalidHttpMessaging: round % 2 === 0,
        allowConnect: round % 3 === 0,
      }
      let codec: Http2Connection
      if (side === 'server') codec = new Http2ServerCodec(connection.asConnection(), recorder, options, timers)
      else {
        const client = new Http2ClientCodec(connection.asConnection(), recorder, options, timers)
        codec = client
        for (let i = 0; i < 2; i++) {
          const head = new HeaderBlock()
          head.method = 'GET'
          head.path = '/'
          head.scheme = 'http'
          head.authority = 'a'
          client.newStream(null)!.encodeHeaders(head, random.below(2) === 0)
        }
      }
      const input = mutate(valid[random.below(valid.length)]!, random)
      try {
        for (let at = 0; at < input.length; ) {
          const take = 1 + random.below(200)
          codec.dispatch(input.subarray(at, at + take), false)
          at += take
        }
        if (random.below(4) === 0) codec.onConnectionWritable()
        if (random.below(8) === 0) timers.advance(40_000)
        codec.onConnectionClosed(6)
      } catch (error) {
        t.fail(`round ${round}: ${String(error)} on ${input.toString('hex')}`)
        throw error
      }
      read += input.length
      written += connection.take().length
      if (codec.activeStreams !== 0 || timers.size !== 0) {
        t.fail(`round ${round}: leaks on ${input.toString('hex')}`)
        return
      }
    }
    // Answers of 70 KB at most for two heads each: output is bounded by what was asked for.
    t.ok(written < ROUNDS * 8 * 70_000, `${read} bytes in, ${written} out`)
  })
}

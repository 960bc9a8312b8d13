import t from 'tap'
import { type CodecStream, ResetReason } from '../../src/codec/codec.ts'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { Http1ClientCodec } from '../../src/codec/http1/client.ts'
import { defaultHttp1Options, type Http1Options } from '../../src/codec/http1/options.ts'
import { Http1ServerCodec } from '../../src/codec/http1/server.ts'
import type { Flow } from '../../src/io/connection.ts'
import { EventRecorder } from '../unit/codec/http1/event-recorder.ts'
import { FakeConnection } from '../unit/codec/http1/fake-connection.ts'
import { type Case, readCases } from '../unit/codec/http1/prose-fixtures.ts'
import { Random } from '../unit/codec/http2/random.ts'

const ROUNDS = 3000

/** What parsers of HTTP/1 have been fooled with. */
const WORDS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  '\r\n\r\n',
  '\n\n',
  'Content-Length: 3\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: +1\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: xchunked\r\n',
  'Transfer-Encoding : chunked\r\n',
  'Host: y\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  'Upgrade: h2c\r\n',
  ' folded\r\n',
  '0\r\n\r\n',
  '3;x\r\nabc\r\n',
  'ffffffffffffffff\r\n',
  'GET /smuggled HTTP/1.1\r\nHost: z\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx',
  'HTTP/1.0',
]

const answer = new HeaderBlock()
answer.status = 200
answer.push('content-length', '2')

/** Watches that the events of streams come in an order that makes sense. */
class Watcher extends EventRecorder {
  begun = 0
  finished = 0
  refused = 0
  wrong = ''
  protected current: CodecStream | null = null

  override onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    if (s !== this.current) this.wrong ||= 'data of no message'
    const flow = super.onData(s, chunk, end)
    if (end) this.finish(s)
    return flow
  }
  override onTrailers(s: CodecStream, trailers: HeaderBlock): void {
    if (s !== this.current) this.wrong ||= 'trailers of no message'
    super.onTrailers(s, trailers)
    this.finish(s)
  }
  override onReset(s: CodecStream, why: ResetReason): void {
    if (s !== this.current) this.wrong ||= 'reset of no message'
    this.current = null
    this.refused++
    super.onReset(s, why)
  }
  protected finish(_s: CodecStream): void {
    this.current = null
    this.finished++
  }
}

/** Answers every request once it is complete. */
class Server extends Watcher {
  onNewStream(s: CodecStream): void {
    if (this.current !== null) this.wrong ||= 'a request began inside another one'
    if (s.user !== null) this.wrong ||= 'a request came twice'
    s.user = this
    this.current = s
    this.begun++
  }
  override onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    super.onHeaders(s, h, end)
    if (s !== this.current) this.wrong ||= 'a head of no new request'
    if (end) this.finish(s)
  }
  override onProtocolError(s: CodecStream, status: number, details: string): void {
    if (s !== this.current) this.wrong ||= 'refusal of no request'
    super.onProtocolError(s, status, details)
    this.current = null
    this.refused++
    const reply = new HeaderBlock()
    reply.status = status
    s.encodeHeaders(reply, true)
  }
  protected override finish(s: CodecStream): void {
    super.finish(s)
    s.encodeHeaders(answer, false)
    s.encodeData(Buffer.from('ok'), true)
  }
}

class Client extends Watcher {
  begin(s: CodecStream): void {
    this.current = s
    this.begun++
  }
  override onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    super.onHeaders(s, h, end)
    if (s !== this.current) this.wrong ||= 'a head nobody asked for'
    if (end) this.finish(s)
  }
}

interface Outcome {
  readonly events: string
  readonly written: string
  /** '' when all rules held. */
  readonly wrong: string
}

/** Bytes a codec keeps of what it was fed. */
function keptBytes(codec: Http1ServerCodec | Http1ClientCodec): number {
  const { reader } = codec as unknown as { reader: { partialLength: number; waitingBytes: number } }
  return reader.partialLength + reader.waitingBytes
}

function feed(codec: Http1ServerCodec | Http1ClientCodec, input: Buffer, cuts: readonly number[]): boolean {
  let bounded = true
  let at = 0
  for (const cut of [...cuts, input.length]) {
    codec.dispatch(Buffer.from(input.subarray(at, cut)), false)
    at = cut
    bounded &&= keptBytes(codec) <= at
  }
  return bounded
}

function serve(input: Buffer, cuts: readonly number[], options: Http1Options): Outcome {
  const server = new Server()
  const connection = new FakeConnection()
  const codec = new Http1ServerCodec(connection, server, options)
  server.codec = codec
  let wrong = feed(codec, input, cuts) ? '' : 'more is kept than was fed'
  wrong ||= server.wrong
  const answers = connection.written.match(/HTTP\/1\.[01] \d{3} /g)?.length ?? 0
  const { begun, finished, refused } = server
  if (answers !== finished + refused) wrong ||= `${answers} answers to ${finished} requests and ${refused} refusals`
  if (begun !== finished + refused + codec.activeStreams)
    wrong ||= `${begun} begun, ${finished} finished, ${refused} refused`
  if (finished > (input.toString('latin1').match(/\n/g)?.length ?? 0)) wrong ||= 'more requests than lines'
  const written = connection.written
  codec.onConnectionClosed(ResetReason.ConnectionTermination)
  if (codec.activeStreams !== 0 || keptBytes(codec) !== 0) wrong ||= 'something is left after the end'
  return { events: server.text(), written, wrong }
}

function receive(input: Buffer, cuts: readonly number[], options: Http1Options, method: string): Outcome {
  const client = new Client()
  const connection = new FakeConnection()
  const codec = new Http1ClientCodec(connection, client, options)
  const request = new HeaderBlock()
  request.method = method
  request.path = '/'
  const s = codec.newStream(null)!
  client.begin(s)
  s.encodeHeaders(request, true)
  let wrong = feed(codec, input, cuts) ? '' : 'more is kept than was fed'
  codec.dispatch(Buffer.alloc(0), true)
  codec.onConnectionClosed(ResetReason.ConnectionTermination)
  wrong ||= client.wrong
  if (client.finished + client.refused !== 1)
    wrong ||= `${client.finished} answers and ${client.refused} resets to one request`
  if (codec.activeStreams !== 0 || keptBytes(codec) !== 0) wrong ||= 'something is left after the end'
  return { events: client.text(), written: connection.written, wrong }
}

function mutate(seed: Buffer, random: Random): Buffer {
  let bytes = seed
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(bytes.length + 1)
    const before = bytes.subarray(0, at)
    switch (random.below(6)) {
      case 0:
        bytes = Buffer.concat([before, Buffer.from([random.below(256)]), bytes.subarray(at + 1)])
        break
      case 1:
        bytes = Buffer.concat([before, bytes.subarray(at + random.below(8))])
        break
      case 2: {
        const from = random.below(bytes.length)
        bytes = Buffer.concat([before, bytes.subarray(from, from + random.below(64)), bytes.subarray(at)])
        break
      }
      case 3:
        bytes = Buffer.concat([before, Buffer.alloc(random.below(3000), 'x'), bytes.subarray(at)])
        break
      default:
        bytes = Buffer.concat([before, Buffer.from(WORDS[random.below(WORDS.length)]!, 'latin1'), bytes.subarray(at)])
    }
  }
  return bytes
}

function randomCuts(length: number, random: Random): number[] {
  const cuts: number[] = []
  for (let at = random.below(200); at < length; at += 1 + random.below(200)) cuts.push(at)
  return cuts
}

for (const side of ['server', 'client'] as const) {
  t.test(`the ${side} codec reads ${ROUNDS} broken byte streams alike however they are cut`, async t => {
    const random = new Random(side === 'server' ? 21 : 22)
    const seeds: Case[] = readCases(side === 'server' ? 'requests.md' : 'responses.md')
    let failures = 0
    for (let round = 0; round < ROUNDS && failures < 5; round++) {
      const first = seeds[random.below(seeds.length)]!
      const second = random.below(2) === 0 ? Buffer.alloc(0) : seeds[random.below(seeds.length)]!.input
      const input = mutate(Buffer.concat([first.input, second]), random)
      const options: Http1Options = {
        ...defaultHttp1Options,
        enableTrailers: random.below(2) === 0,
        acceptHttp10: random.below(2) === 0,
        allowChunkedLength: random.below(2) === 0,
        keepOnBadRequest: random.below(4) === 0,
        allowAbsoluteUrl: random.below(4) > 0,
        maxHeadersKb: 1 + random.below(4),
        maxHeadersCount: 2 + random.below(20),
      }
      const run = (cuts: readonly number[]): Outcome =>
        side === 'server' ? serve(input, cuts, options) : receive(input, cuts, options, first.method)
      try {
        const whole = run([])
        const cut = run(randomCuts(input.length, random))
        const bytewise = run(Array.from({ length: Math.max(0, input.length - 1) }, (_, i) => i + 1))
        const wrong =
          whole.wrong ||
          cut.wrong ||
          bytewise.wrong ||
          (whole.events !== bytewise.events || whole.written !== bytewise.written
            ? 'cutting changes the outcome'
            : '') ||
          (whole.events !== cut.events || whole.written !== cut.written ? 'random cuts change the outcome' : '')
        if (wrong !== '') {
          failures++
          t.fail(`round ${round}: ${wrong}`, {
            input: JSON.stringify(input.toString('latin1')).replace(/x{50,}/g, many => `<x * ${many.length}>`),
            options,
            whole: short(whole.events),
            bytewise: short(bytewise.events),
            cut: short(cut.events),
          })
        }
      } catch (error) {
        t.fail(`round ${round}: ${String(error)} on ${JSON.stringify(input.toString('latin1'))}`)
        throw error
      }
    }
    t.equal(failures, 0)
  })
}

function short(text: string): string {
  return text.replace(/x{50,}/g, many => `<x * ${many.length}>`)
}

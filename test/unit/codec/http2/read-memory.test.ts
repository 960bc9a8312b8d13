import t from 'tap'
import { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { Http2ClientCodec } from '../../../../src/codec/http2/client.ts'
import { defaultHttp2Options } from '../../../../src/codec/http2/options.ts'
import { output } from '../../../../src/codec/http2/output.ts'
import { Http2ServerCodec } from '../../../../src/codec/http2/server.ts'
import type { ByteStream } from '../../../../src/io/byte-stream.ts'
import { spendChunk, takeChunk } from '../../../../src/io/chunk-pool.ts'
import { Flow } from '../../../../src/io/connection.ts'
import { OutputQueue } from '../../../../src/io/output-queue.ts'
import { FakeConnection, FakeTimers, Recorder } from './fakes.ts'
import { assemble } from './frame-text.ts'

/** Writes as a socket that takes everything. */
class Writing extends FakeConnection {
  readonly queue = new OutputQueue()

  override write(data: Uint8Array | string): Flow {
    this.queue.push(data)
    return Flow.Continue
  }

  flush(): void {
    output.flush()
    const writeBytes = (bytes: Uint8Array): void => spendChunk(bytes, bytes.length)
    const stream = {
      writeText() {},
      writeBytes,
      writeAll(pieces: readonly (Uint8Array | string)[]) {
        for (const piece of pieces) if (typeof piece !== 'string') writeBytes(piece)
      },
    }
    this.queue.writeTo(stream as unknown as ByteStream)
  }
}

t.test('memory that frames were read into is used again when their data is written', async t => {
  const up = new Writing()
  const client = new Http2ClientCodec(up.asConnection(), new Recorder(), defaultHttp2Options, new FakeTimers())
  const head = new HeaderBlock()
  head.method = 'POST'
  head.path = '/'
  head.scheme = 'http'
  head.authority = 'a'
  const stream = client.newStream(null)!
  stream.encodeHeaders(head, false)
  up.flush()
  const recorder = new Recorder()
  recorder.onBody = (_, chunk, end) => void stream.encodeData(chunk, end)
  const server = new Http2ServerCodec(
    new FakeConnection().asConnection(),
    recorder,
    defaultHttp2Options,
    new FakeTimers(),
  )
  // Sent in place, copied behind the head of a frame, joined to text, and with bytes that are not data.
  const sizes = [16_000, 5000, 4000, 100]
  const lines = ['SETTINGS 0', 'HEADERS 1 endh : GET', ...sizes.map(size => `DATA 1 : "${'d'.repeat(size)}"`)]
  const wire = assemble([...lines, 'DATA 1 padded : hex 03 6c6f 000000', 'PING 0 : hex 0000000000000000'], true)
  const chunk = takeChunk(wire, wire.length)
  t.ok(chunk.length > 16_384)
  server.dispatch(chunk, false)
  up.flush()
  t.equal(takeChunk(wire, wire.length).buffer, chunk.buffer)
})

t.test('bytes that join a text are done with', async t => {
  const wire = Buffer.alloc(20_000)
  const chunk = takeChunk(wire, wire.length)
  const up = new Writing()
  up.write(chunk.subarray(0, 200))
  up.write('text')
  up.flush()
  up.write(chunk.subarray(200))
  up.flush()
  t.equal(takeChunk(wire, wire.length).buffer, chunk.buffer)
})

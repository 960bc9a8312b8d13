import t from 'tap'
import type { CodecStream } from '../../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { Http1ClientCodec } from '../../../../src/codec/http1/client.ts'
import { defaultHttp1Options } from '../../../../src/codec/http1/options.ts'
import { Http1ServerCodec } from '../../../../src/codec/http1/server.ts'
import { Flow, ReadHold } from '../../../../src/io/connection.ts'
import { EventRecorder } from './event-recorder.ts'
import { FakeConnection } from './fake-connection.ts'

/** Holds the stream back with each piece of body, as a full write buffer on the other side does. */
class Holder extends EventRecorder {
  stream: CodecStream | null = null
  override onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    this.stream = s
    if (!end) s.holdReading(ReadHold.PeerBuffer, true)
    super.onData(s, chunk, end)
    return Flow.Continue
  }
}

t.test('a response that was held back with its last bytes does not hold the next one on its connection', async t => {
  const connection = new FakeConnection()
  const codec = new Http1ClientCodec(connection, new Holder(), defaultHttp1Options)
  const request = new HeaderBlock()
  request.method = 'GET'
  request.path = '/'
  codec.newStream(null)!.encodeHeaders(request, true)
  codec.dispatch(Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab'), false)
  t.equal(connection.readHolds, ReadHold.PeerBuffer)
  codec.dispatch(Buffer.from('cd'), false)
  t.equal(connection.readHolds, 0)
})

t.test('a request that was held back does not hold the next one on its connection', async t => {
  const connection = new FakeConnection()
  const holder = new Holder()
  const codec = new Http1ServerCodec(connection, holder, defaultHttp1Options)
  holder.codec = codec
  codec.dispatch(Buffer.from('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab'), false)
  t.not(connection.readHolds & ReadHold.PeerBuffer, 0)
  const response = new HeaderBlock()
  response.status = 200
  holder.stream!.encodeHeaders(response, true)
  t.equal(connection.readHolds, 0)
})

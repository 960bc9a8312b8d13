import { once } from 'node:events'
import * as http2 from 'node:http2'
import { type AddressInfo, connect, createServer } from 'node:net'
import t from 'tap'
import type { CodecStream, StreamDecoder } from '../../src/codec/codec.ts'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { Flow } from '../../src/io/connection.ts'
import { connectHttp2, serveHttp2 } from './http2-codec-server.ts'

t.test('node:http2 as client: 60 parallel requests with bodies over the flow-control window', async t => {
  const server = createServer(socket => serveHttp2(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const one = async (i: number): Promise<void> => {
    const body = Buffer.alloc(i * 3000, i)
    const stream = session.request({ ':method': 'POST', ':path': `/p${i}`, 'x-i': String(i) })
    stream.end(body)
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    t.equal(headers['x-path'], `/p${i}`)
    t.ok(Buffer.concat(chunks).equals(body), `body ${i}`)
  }
  await Promise.all(Array.from({ length: 60 }, (_, i) => one(i)))
  session.close()
  await once(session, 'close')
  server.close()
})

/** Resolves when all of `count` streams ended. */
class Collector implements StreamDecoder {
  readonly done: Promise<void>
  readonly results = new Map<number, { head: string; bytes: number; trailers: string }>()
  private left: number
  private finish: () => void = () => {}

  constructor(count: number) {
    this.left = count
    this.done = new Promise(resolve => {
      this.finish = resolve
    })
  }

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    this.results.set(s.user as number, { head: `${h.status} ${h.get('x-path')}`, bytes: 0, trailers: '' })
    if (end) this.end()
  }

  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    this.results.get(s.user as number)!.bytes += chunk.length
    if (end) this.end()
    return Flow.Continue
  }

  onTrailers(s: CodecStream, h: HeaderBlock): void {
    this.results.get(s.user as number)!.trailers = h.get('x-sum') ?? ''
    this.end()
  }

  onReset(): void {
    this.end()
  }

  onWritable(): void {}
  onConnectionError(): void {
    this.finish()
  }

  private end(): void {
    if (--this.left === 0) this.finish()
  }
}

t.test('node:http2 as server: parallel requests, responses with trailers', async t => {
  const server = http2.createServer((request, response) => {
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    request.on('end', () => {
      response.setHeader('x-path', request.url)
      response.write(Buffer.alloc(bytes))
      response.addTrailers({ 'x-sum': String(bytes) })
      response.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  const count = 40
  const collector = new Collector(count)
  const codec = connectHttp2(socket, collector)
  for (let i = 0; i < count; i++) {
    const s = codec.newStream(i)!
    const head = new HeaderBlock()
    head.method = 'POST'
    head.scheme = 'http'
    head.path = `/q${i}`
    head.authority = 'a.test'
    s.encodeHeaders(head, false)
    s.encodeData(Buffer.alloc(i * 5000), true)
  }
  await collector.done
  for (let i = 0; i < count; i++) {
    t.same(collector.results.get(i), { head: `200 /q${i}`, bytes: i * 5000, trailers: String(i * 5000) })
  }
  t.equal(codec.activeStreams, 0)
  socket.destroy()
  server.close()
})

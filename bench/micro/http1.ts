/** Heads, and whole exchanges through client and server codec in memory: `node bench/micro/http1.ts [body bytes]`. */
import type { CodecStream, StreamDecoder } from '../../src/codec/codec.ts'
import { HeaderBlock } from '../../src/codec/header-block.ts'
import { Http1ClientCodec } from '../../src/codec/http1/client.ts'
import { HeadParser } from '../../src/codec/http1/head-parser.ts'
import { defaultHttp1Options } from '../../src/codec/http1/options.ts'
import { Http1ServerCodec } from '../../src/codec/http1/server.ts'
import { type Connection, Flow } from '../../src/io/connection.ts'
import { measure } from './reference.ts'

const body = Buffer.alloc(Number(process.argv[2] ?? 128), 'x')
/** Ids differ from request to request, as in life: what is remembered must not be the whole head. */
const ids = Array.from({ length: 1024 }, (_, i) => `${i * 7919}-0d1e-4f5a-${i}`)

const plain = (id: string): string =>
  `GET /api/v1/items HTTP/1.1\r\nhost: shop.example.com\r\nx-request-id: ${id}\r\n\r\n`
const browser = (id: string): string =>
  `GET /products/list?page=2&sort=price HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\n` +
  'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: "Linux"\r\n' +
  'Upgrade-Insecure-Requests: 1\r\n' +
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n' +
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n' +
  'Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n' +
  'Referer: http://shop.example.com/products/list?page=1\r\nAccept-Encoding: gzip, deflate, br\r\n' +
  `Accept-Language: en-US,en;q=0.9\r\nCookie: session=${id}; theme=dark\r\n\r\n`
const post = (id: string): string =>
  `POST /api/v1/items HTTP/1.1\r\nhost: shop.example.com\r\ncontent-type: application/json\r\nx-request-id: ${id}\r\n` +
  `content-length: ${body.length}\r\n\r\n${body.toString('latin1')}`
const chunked = (id: string): string =>
  `POST /api/v1/items HTTP/1.1\r\nhost: shop.example.com\r\ncontent-type: application/json\r\nx-request-id: ${id}\r\n` +
  `transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body.toString('latin1')}\r\n0\r\n\r\n`

/** As a socket: every turn's writes are one chunk for the other side. */
class Pipe {
  readonly bufferedBytes = 0
  text = ''
  write(data: Uint8Array | string): Flow {
    this.text += typeof data === 'string' ? data : (data as Buffer).toString('latin1')
    return Flow.Continue
  }
  holdReading(): void {}
  close(): void {
    throw new Error('closed')
  }
  take(): Buffer {
    const bytes = Buffer.from(this.text, 'latin1')
    this.text = ''
    return bytes
  }
}

class Server implements StreamDecoder {
  requests = 0
  readonly head = new HeaderBlock()
  constructor() {
    this.head.status = 200
    this.head.list.push('content-type', 'application/json', 'content-length', String(body.length), 'server', 'bench')
  }
  onHeaders(s: CodecStream, _h: HeaderBlock, end: boolean): void {
    if (end) this.answer(s)
  }
  onData(s: CodecStream, _chunk: Uint8Array, end: boolean): Flow {
    if (end) this.answer(s)
    return Flow.Continue
  }
  onTrailers(): void {}
  onReset(): void {}
  onWritable(): void {}
  onConnectionError(details: string): void {
    throw new Error(details)
  }
  private answer(s: CodecStream): void {
    this.requests++
    s.encodeHeaders(this.head, false)
    s.encodeData(body, true)
  }
}

class Client implements StreamDecoder {
  answers = 0
  onHeaders(): void {}
  onData(_s: CodecStream, _chunk: Uint8Array, end: boolean): Flow {
    if (end) this.answers++
    return Flow.Continue
  }
  onTrailers(): void {}
  onReset(): void {}
  onWritable(): void {}
  onConnectionError(details: string): void {
    throw new Error(details)
  }
}

const ROUND = 10_000
for (const [name, make] of [
  ['small GET', plain],
  ['browser GET', browser],
] as const) {
  const heads = ids.map(id => Buffer.from(make(id), 'latin1'))
  const parser = new HeadParser(100)
  measure(
    `parse head, ${name}`,
    () => {
      for (let i = 0; i < ROUND; i++) {
        const bytes = heads[i & 1023]!
        const h = new HeaderBlock()
        if (parser.parseRequest(bytes.latin1Slice(0, bytes.length), 0, h) < 0) throw new Error('not parsed')
      }
    },
    ROUND,
  )
}

for (const [name, make] of [
  ['small GET', plain],
  ['browser GET', browser],
  ['POST', post],
  ['chunked POST', chunked],
] as const) {
  const requests = ids.map(id => Buffer.from(make(id), 'latin1'))
  const pipe = new Pipe()
  const server = new Server()
  const codec = new Http1ServerCodec(pipe as unknown as Connection, server, defaultHttp1Options)
  measure(
    `server codec, request and response, ${name}`,
    () => {
      for (let i = 0; i < ROUND; i++) {
        codec.dispatch(requests[i & 1023]!, false)
        pipe.text = ''
      }
    },
    ROUND,
  )
  if (server.requests === 0) throw new Error('nothing answered')
}

for (const [name, method] of [
  ['GET', 'GET'],
  ['POST chunked', 'POST'],
] as const) {
  const up = new Pipe()
  const down = new Pipe()
  const answers = new Client()
  const client = new Http1ClientCodec(up as unknown as Connection, answers, defaultHttp1Options)
  const server = new Http1ServerCodec(down as unknown as Connection, new Server(), defaultHttp1Options)
  const head = new HeaderBlock()
  head.method = method
  head.scheme = 'http'
  head.path = '/api/v1/items'
  head.authority = 'shop.example.com'
  head.list.push('user-agent', 'bench/1.0', 'accept', '*/*', 'x-forwarded-proto', 'http', 'x-request-id', 'fixed')
  let serial = 0
  measure(
    `exchange, ${name}`,
    () => {
      for (let i = 0; i < ROUND; i++) {
        head.list[7] = ids[serial++ & 1023]!
        const s = client.newStream(null)!
        s.encodeHeaders(head, method === 'GET')
        if (method !== 'GET') s.encodeData(body, true)
        server.dispatch(up.take(), false)
        client.dispatch(down.take(), false)
      }
    },
    ROUND,
  )
  if (answers.answers === 0) throw new Error('nothing answered')
}

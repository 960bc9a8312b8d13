import { Duplex } from 'node:stream'
import tls from 'node:tls'
import t from 'tap'
import { HelloState, parseClientHello } from '../../../src/io/transport-sockets/client-hello.ts'

/** The first flight of Node's own client. */
function capture(options: tls.ConnectionOptions): Promise<Buffer> {
  return new Promise(resolve => {
    const pipe = new Duplex({
      read() {},
      write(chunk: Buffer) {
        resolve(chunk)
      },
    })
    tls.connect({ socket: pipe, ...options }).on('error', () => {})
  })
}

/** The same handshake message cut into records of `size` bytes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const body = hello.subarray(5)
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size)
    parts.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part)
  }
  return Buffer.concat(parts)
}

t.test('server name, ALPN and version, whole and split at every byte', async t => {
  const bytes = await capture({ servername: 'Www.Example.COM', ALPNProtocols: ['istio', 'h2'] })
  for (const form of [bytes, inRecords(bytes, 7), inRecords(bytes, 1)]) {
    for (let cut = 1; cut < form.length; cut++) {
      const { state } = parseClientHello(form.subarray(0, cut))
      if (state !== HelloState.NeedMore) t.fail(`state ${state} after ${cut} bytes`)
    }
    const { state, hello } = parseClientHello(form)
    t.equal(state, HelloState.Done)
    t.match(hello, { serverName: 'www.example.com', alpn: ['istio', 'h2'], tls13: true })
  }
})

t.test('bytes after the ClientHello do not matter', async t => {
  const bytes = await capture({ maxVersion: 'TLSv1.2' })
  const { hello } = parseClientHello(Buffer.concat([bytes, Buffer.from([20, 3, 3, 0, 1, 1])]))
  t.match(hello, { serverName: '', alpn: [], tls13: false })
})

t.test('supported groups, best first as the client sees it', async t => {
  const bytes = await capture({ ecdhCurve: 'X25519MLKEM768:prime256v1:X25519' })
  t.same(parseClientHello(bytes).hello?.groups, [0x11ec, 23, 29])
})

t.test('what is not TLS is told apart at the first bytes', async t => {
  t.equal(parseClientHello(Buffer.from('G')).state, HelloState.NotTls)
  t.equal(parseClientHello(Buffer.from([22, 2])).state, HelloState.NotTls)
  t.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 5, 2])).state, HelloState.NotTls)
  t.equal(parseClientHello(Buffer.alloc(0)).state, HelloState.NeedMore)
})

t.test('too large, and lengths that do not fit', async t => {
  t.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 4, 1, 1, 0, 0])).state, HelloState.TooLarge)
  t.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 0])).state, HelloState.Malformed)
  t.equal(parseClientHello(Buffer.from([22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3])).state, HelloState.Malformed)
  const good = await capture({ servername: 'a.test' })
  t.equal(parseClientHello(good, 16).state, HelloState.TooLarge)
})

t.test('fuzz: a flipped byte never throws and never reads past the end', async t => {
  const bytes = await capture({ servername: 'a.test', ALPNProtocols: ['h2'] })
  for (let at = 0; at < bytes.length; at++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const copy = Buffer.from(bytes)
      copy[at]! ^= flip
      parseClientHello(copy)
    }
  }
  t.pass()
})

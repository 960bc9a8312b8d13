import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled } from '../../harness/until.ts'
import { RunningProxy } from './running-proxy.ts'

const CONNECTIONS = 1000

/** One keep-alive exchange; resolves with the status line. */
function exchange(socket: Socket, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      const head = text.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0)
      if (text.length < head + 4 + length) return
      socket.off('data', onData)
      resolve(text.slice(0, text.indexOf('\r\n')))
    }
    socket.on('data', onData)
    socket.once('error', reject)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  })
}

t.test('1,000 connections at once are all served, and all are gone afterwards', async t => {
  const upstream = await allocatePort()
  const server = createServer((incoming, outgoing) => {
    const body = incoming.url!
    outgoing.setHeader('content-length', body.length)
    setTimeout(() => outgoing.end(body), 20)
  })
  await new Promise<void>(resolve => server.listen(upstream, '127.0.0.1', 2000, resolve))
  const proxy = await RunningProxy.start({ upstream, concurrency: 2 })
  t.teardown(async () => {
    await proxy.stop()
    server.closeAllConnections()
    server.close()
  })
  const sockets: Socket[] = []
  for (let i = 0; i < CONNECTIONS; i++) sockets.push(connect(proxy.port, '127.0.0.1'))
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(sockets.map((socket, i) => exchange(socket, `/${round}/${i}`)))
    t.same(new Set(answers), new Set(['HTTP/1.1 200 OK']))
  }
  const counts = (name: string, wanted: number): Promise<number> =>
    settled(
      () => proxy.stat(`http.http.${name}`),
      value => value === wanted,
    )
  t.equal(await counts('downstream_cx_active', CONNECTIONS), CONNECTIONS)
  t.equal(await counts('downstream_rq_2xx', 2 * CONNECTIONS), 2 * CONNECTIONS)
  for (const socket of sockets) socket.destroy()
  t.equal(await counts('downstream_cx_active', 0), 0)
  t.equal(await counts('downstream_rq_active', 0), 0)
})

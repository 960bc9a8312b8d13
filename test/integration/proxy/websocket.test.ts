import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'
import { RunningProxy } from './running-proxy.ts'

/** Accepts any upgrade and echoes bytes; `bye` ends its side. */
function serve(port: number): Promise<Server> {
  const server = createServer()
  server.on('upgrade', (incoming, socket, head) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${incoming.headers['upgrade']}\r\n\r\n`,
    )
    if (head.length > 0) socket.write(head)
    socket.on('data', chunk => {
      socket.write(chunk)
      if (chunk.toString('latin1').endsWith('bye')) socket.end()
    })
    socket.on('error', () => socket.destroy())
  })
  return new Promise(resolve => server.listen(port, '127.0.0.1', () => resolve(server)))
}

t.test('a WebSocket carries bytes both ways until one side ends', async t => {
  const upstream = await allocatePort()
  const server = await serve(upstream)
  const proxy = await RunningProxy.start({ upstream, manager: 'upgrade_configs: [ { upgrade_type: websocket } ]' })
  t.teardown(async () => {
    await proxy.stop()
    server.close()
  })
  const socket = connect(proxy.port, '127.0.0.1')
  let text = ''
  socket.on('data', chunk => {
    text += chunk.toString('latin1')
  })
  const ended = new Promise<void>(resolve => socket.once('close', () => resolve()))
  socket.write('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await until(() => text.includes('\r\n\r\n'))
  t.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  text = ''
  let sent = ''
  for (let i = 0; i < 500; i++) {
    const piece = `${i}:${'x'.repeat(i % 50)};`
    sent += piece
    socket.write(piece)
  }
  await until(() => text.length === sent.length)
  t.equal(text, sent)
  const upgrades = (): Promise<number> => proxy.stat('http.http.downstream_cx_upgrades_active')
  t.equal(await settled(upgrades, value => value === 1), 1)
  socket.write('bye')
  await ended
  t.ok(text.endsWith('bye'))
  await until(async () => (await upgrades()) === 0)
  await until(async () => (await proxy.stat('http.http.downstream_rq_active')) === 0)
})

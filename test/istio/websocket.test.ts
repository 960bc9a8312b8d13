import { createServer } from 'node:http'
import t from 'tap'
import { HTTPBIN, startMesh } from './mesh.ts'
import { counted } from './observed.ts'

const mesh = await startMesh({ pods: ['sleep', 'httpbin'] })
const [sleep, httpbin] = [mesh.pod('sleep'), mesh.pod('httpbin')]

const app = createServer((_, response) => response.writeHead(400).end('no upgrade'))
const names: (string | undefined)[] = []
app.on('upgrade', (request, socket) => {
  names.push(request.headers['x-forwarded-client-cert'] as string)
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: x\r\n\r\n',
  )
  socket.pipe(socket)
})
httpbin.serve(app, 8080)

t.test('an upgrade to websocket passes both sidecars; then bytes go both ways as they come', async t => {
  const socket = sleep.connect(HTTPBIN, 8000)
  let got = ''
  let heard = (): void => {}
  socket.on('data', chunk => {
    got += chunk.toString('latin1')
    heard()
  })
  const until = (text: string): Promise<void> =>
    new Promise(resolve => {
      heard = () => got.includes(text) && resolve()
      heard()
    })
  socket.write(
    'GET /ws HTTP/1.1\r\nhost: httpbin.demo:8000\r\nx-pin: v1\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n',
  )
  await until('\r\n\r\n')
  t.match(got, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  t.match(got.toLowerCase(), '\r\nupgrade: websocket\r\n')
  for (const frame of ['\x81\x03one', '\x81\x03two']) {
    socket.write(frame, 'latin1')
    await until(frame)
  }
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.end()
  await closed
  t.match(names[0], 'URI=spiffe://cluster.local/ns/demo/sa/sleep')
  // The pushed logs are filtered by response.code >= 200.
  t.notMatch(sleep.output, '/ws ')
  t.ok(await counted(httpbin, 'istio_requests_total', { reporter: 'destination', response_code: '101' }))
})

t.test('a server that does not upgrade answers as it likes', async t => {
  const answer = await sleep.ask(HTTPBIN, 8000, '/', { headers: { host: 'httpbin.demo:8000', 'x-pin': 'v1' } })
  t.match(answer, { status: 400, body: 'no upgrade' })
})

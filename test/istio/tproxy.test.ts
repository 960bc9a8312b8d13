import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import t from 'tap'
import { startMesh } from './mesh.ts'

/** A pod with `sidecar.istio.io/interceptionMode: TPROXY`: its applications see the addresses of their clients. */
const mesh = await startMesh({
  pods: ['sleep', 'echo'],
  pushes: { sleep: 'default-sleep-mode-TPROXY' },
  modes: { sleep: 'TPROXY' },
})
const [sleep, echo] = [mesh.pod('sleep'), mesh.pod('echo')]
const seen = (address: string | undefined): string => address?.replace('::ffff:', '') ?? ''
sleep.serve(
  createServer((request, response) => response.end(`${seen(request.socket.remoteAddress)} ${request.url}`)),
  8080,
)
sleep.serve(
  createTcpServer(socket => socket.on('error', () => {}).end(seen(socket.remoteAddress))),
  7777,
)

t.test('plain HTTP, of clients that share the pool of nobody else', async t => {
  const ask = (pod: typeof echo, path: string) => pod.ask(sleep.address, 8080, path, { headers: { host: 'sleep' } })
  t.match(await ask(mesh.outside, '/outside'), { status: 200, body: '10.77.0.1 /outside' })
  t.match(await ask(echo, '/echo'), { status: 200, body: `${echo.address} /echo` })
  t.match(await ask(mesh.outside, '/again'), { status: 200, body: '10.77.0.1 /again' })
})

t.test('a port that no service names', async t => {
  const socket = mesh.outside.connect(sleep.address, 7777)
  // Nothing is known of the protocol: the client says something first.
  socket.write('hello\n')
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  t.equal(text, '10.77.0.1')
})

t.test('out as ever', async t => {
  echo.serve(
    createServer((_, response) => response.end('echo')),
    8080,
  )
  t.match(await sleep.ask(echo.address, 8080, '/', { headers: { host: 'echo' } }), { status: 200, body: 'echo' })
})

t.test('nothing of the pushes was refused', async t => t.same(mesh.plane.rejected, []))

import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { AppProbes } from '../../../src/agent/app-probes.ts'
import { configureLog } from '../../../src/agent/log.ts'
import { ask } from '../../integration/agent/running-agent.ts'

configureLog({ write: () => {} })

async function serve(t: Test, handler: RequestListener): Promise<number> {
  return listen(t, createServer(handler))
}

async function listen(t: Test, server: Server | ReturnType<typeof createHttp2>): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A status port with one probe behind it; resolves to what kubelet would see. */
async function probed(t: Test, probe: object): Promise<{ status: number; body: string }> {
  const path = '/app-health/app/livez'
  let probes: AppProbes | undefined
  const port = await serve(t, (request: IncomingMessage, response: ServerResponse) => {
    void probes?.handle(request.url ?? '', request, response)
  })
  probes = new AppProbes({ json: JSON.stringify({ [path]: probe }), destination: '127.0.0.1', statusPort: port })
  return ask(port, path)
}

t.test(
  'httpGet: status and at most 10 KiB of body of the application, its own port in Host, dialled from 127.0.0.6',
  async t => {
    let seen: { url?: string | undefined; host?: string | undefined; from?: string | undefined } = {}
    const app = await serve(t, (request, response) => {
      seen = { url: request.url, host: request.headers.host, from: request.socket.remoteAddress }
      response.writeHead(418).end('x'.repeat(20_000))
    })
    const answer = await probed(t, { httpGet: { path: 'hello?a=1', port: app }, timeoutSeconds: 5 })
    t.equal(answer.status, 418)
    t.equal(answer.body.length, 10_240)
    t.same(seen, { url: '/hello?a=1', host: `127.0.0.1:${app}`, from: '127.0.0.6' })
  },
)

t.test('redirects: elsewhere is success, to the same host is followed, the tenth fails', async t => {
  let hops = 0
  const app = await serve(t, (request, response) => {
    hops++
    if (request.url === '/away') response.writeHead(302, { location: 'http://example.test/' }).end()
    else if (request.url === '/here') response.writeHead(302, { location: '/end' }).end()
    else if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end()
    else response.writeHead(204).end()
  })
  t.equal((await probed(t, { httpGet: { path: '/away', port: app } })).status, 200)
  t.equal((await probed(t, { httpGet: { path: '/here', port: app } })).status, 204)
  hops = 0
  t.equal((await probed(t, { httpGet: { path: '/loop', port: app } })).status, 500)
  t.equal(hops, 10)
})

t.test('an application that changes the protocol has failed the probe', async t => {
  const app = await serve(t, request => {
    request.socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
  })
  t.equal((await probed(t, { httpGet: { path: '/', port: app }, timeoutSeconds: 60 })).status, 500)
})

t.test('tcpSocket: 200 when it connects, 500 when not', async t => {
  const app = await serve(t, () => {})
  t.equal((await probed(t, { tcpSocket: { port: app } })).status, 200)
  t.equal((await probed(t, { tcpSocket: { port: 1 } })).status, 500)
})

t.test('grpc: 200 for SERVING, 500 for anything else', async t => {
  const server = createHttp2()
  let sent = ''
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('data', (chunk: Buffer) => {
      sent = chunk.toString('latin1')
    })
    stream.on('end', () => {
      const status = sent.includes('up') ? 1 : 2
      if (sent.includes('none')) {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true })
        return
      }
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]))
    })
  })
  const port = await listen(t, server)
  t.equal((await probed(t, { grpc: { port, service: 'up' } })).status, 200)
  t.equal(sent, '\0\0\0\0\x04\x0a\x02up')
  t.equal((await probed(t, { grpc: { port, service: 'down' } })).status, 500)
  t.equal((await probed(t, { grpc: { port, service: 'none' } })).status, 500)
  t.equal((await probed(t, { grpc: { port: 1 } })).status, 500)
})

t.test('a probe that is not configured is 400; a variable that is not understood is refused', async t => {
  const make = (value: object): AppProbes =>
    new AppProbes({ json: JSON.stringify(value), destination: '127.0.0.1', statusPort: 1 })
  t.throws(
    () => new AppProbes({ json: '{', destination: '', statusPort: 1 }),
    /ISTIO_KUBE_APP_PROBERS: failed to decode/,
  )
  t.throws(() => make({ '/x': { tcpSocket: { port: 1 } } }), /invalid path \/x/)
  t.throws(() => make({ '/app-health/a/livez': {} }), /must be one of type/)
  t.throws(() => make({ '/app-health/a/livez': { httpGet: { port: 'http' } } }), /port must be int/)
})

import { createServer, type ServerResponse } from 'node:http'
import t from 'tap'
import { settled, until } from '../harness/until.ts'
import { HTTPBIN, OUTSIDE, startMesh } from './mesh.ts'
import type { Reply } from './pod.ts'
import { tcpEcho, tcpExchange } from './traffic.ts'

/** The pod ends as soon as nobody is connected any more, and the listeners close after a second: so nothing here depends on luck. */
const mesh = await startMesh({
  pods: ['sleep', 'httpbin', 'echo'],
  env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '1s' },
  config: { drainDuration: '1s' },
})
const [sleep, httpbin, echo] = [mesh.pod('sleep'), mesh.pod('httpbin'), mesh.pod('echo')]
const HEADERS = { host: 'httpbin.demo:8000', 'x-pin': 'v1' }
const waiting: ServerResponse[] = []
httpbin.serve(
  createServer((request, response) => {
    if (request.url === '/slow') waiting.push(response)
    else response.end('hello')
  }),
  8080,
)
httpbin.serve(
  createServer((_, response) => response.end('never')),
  8081,
)
mesh.outside.serve(tcpEcho(), 7777)

t.test(
  'SIGTERM: what is in flight finishes, nothing new comes in, the pod itself can still call out, then all ends',
  async t => {
    const slow = sleep.ask(HTTPBIN, 8000, '/slow', { headers: HEADERS })
    await until(async () => waiting.length === 1)
    const kubelet = (): Promise<number> =>
      mesh.outside.ask(httpbin.address, 15021, '/healthz/ready').then(({ status }) => status)
    t.equal(await kubelet(), 200)
    httpbin.signal('SIGTERM')
    await httpbin.says(/\tinfo\tAgent draining proxy for 1s, then waiting for active connections to terminate\.\.\./)
    // As Istio's agent: nobody can connect any more, and the proxy, whose connection is there, hears 503.
    await until(async () => /ECONNREFUSED/.test((await httpbin.agent('/healthz/ready')).body))
    t.equal(await settled(kubelet, status => status === 503), 503)
    await httpbin.says(/Envoy proxy is NOT ready: server is terminated: /)
    // Until the drain time is over listeners take connections still; then they are gone.
    await until(async () => {
      const { status, body } = await mesh.outside.ask(httpbin.address, 8081, '/')
      return status === 0 && body.includes('ECONNREFUSED')
    })
    t.equal(await tcpExchange(httpbin, OUTSIDE, 7777, 'calling out'), 'calling out')
    t.equal((await httpbin.admin('/server_info')).status, 200, 'the proxy lives for as long as somebody waits')
    await httpbin.says(/There are still \d+ active connections/)
    waiting[0]!.end('at last')
    t.match(await slow, { status: 200, body: 'at last' })
    t.equal(await httpbin.exited, 0)
    t.ok(await httpbin.says(/There are no more active connections\. terminating proxy\.\.\./))
    t.ok(await httpbin.says(/Agent has successfully terminated/))
  },
)

t.test('a pod that is gone: the client sidecar says so', async t => {
  const answer = await sleep.ask(HTTPBIN, 8000, '/', { headers: HEADERS })
  t.match(answer, { status: 503, body: /^upstream connect error or disconnect\/reset before headers/ })
})

t.test(
  'a native sidecar: the preStop hook drains while the application goes down, SIGTERM then ends at once',
  async t => {
    echo.serve(
      createServer((_, response) => response.end('hello')),
      9998,
    )
    t.equal(await echo.hook('wait', '--timeoutSeconds=30', '--periodMillis=50'), 0, 'the postStart hook: it is ready')
    t.equal(await echo.hook('request', '--debug-port=15020', 'POST', 'drain'), 0)
    // The hook drains with skip_exit, in which listeners stay open: who comes is served, and sent away.
    const agent = mesh.outside.keepAlive(echo.address, 9998)
    t.teardown(() => agent.destroy())
    const ask = (): Promise<Reply> => mesh.outside.ask(echo.address, 9998, '/', { agent })
    // Workers hear of it a moment later.
    const answer = await settled(ask, ({ headers }) => headers.connection === 'close')
    t.match(answer, { status: 200, headers: { connection: 'close' } })
    echo.signal('SIGTERM')
    t.equal(await echo.exited, 0)
    t.ok(await echo.says(/Agent already drained, exiting immediately/))
  },
)

import { Agent, createServer, request } from 'node:http'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { until } from '../../harness/until.ts'
import { RunningProxy } from './running-proxy.ts'

interface Tally {
  ok: number
  /** Requests that failed other than by a refusal: the ones a drain must not cause. */
  failed: string[]
  /** New connections, and those of them that were reset before they had carried anything. */
  connected: number
  reset: number
  refused: number
  closes: number
}

/** Keeps `clients` busy until told to stop or the port refuses. */
function load(port: number, clients: number, tally: Tally): { stop(): Promise<void> } {
  let stopping = false
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const one = (): Promise<void> =>
    new Promise(resolve => {
      const outgoing = request({ port, path: '/', agent }, response => {
        if (response.headers['connection'] === 'close') tally.closes++
        response.resume()
        response.on('end', () => {
          if (response.statusCode === 200) tally.ok++
          else tally.failed.push(`status ${response.statusCode}`)
          resolve()
        })
      })
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED' || error.syscall === 'connect') tally.refused++
        else if (error.code !== 'ECONNRESET') tally.failed.push(`${error.code}`)
        // A reused connection that the server closed while idle: HTTP clients retry these.
        else if (!outgoing.reusedSocket) tally.reset++
        resolve()
      })
      outgoing.once('socket', socket => {
        if (!outgoing.reusedSocket) socket.once('connect', () => tally.connected++)
      })
      outgoing.end()
    })
  const client = async (): Promise<void> => {
    while (!stopping && tally.refused === 0) await one()
  }
  const all = Promise.all(Array.from({ length: clients }, client))
  return {
    async stop() {
      stopping = true
      await all
      agent.destroy()
    },
  }
}

t.test('draining under load fails no request', async t => {
  const upstream = await allocatePort()
  const server = createServer((_incoming, outgoing) => setTimeout(() => outgoing.end('ok'), 5))
  await new Promise<void>(resolve => server.listen(upstream, '127.0.0.1', resolve))
  const proxy = await RunningProxy.start({ upstream, flags: ['--drain-time-s', '1', '--drain-strategy', 'immediate'] })
  t.teardown(async () => {
    await proxy.stop()
    server.closeAllConnections()
    server.close()
  })
  const tally: Tally = { ok: 0, failed: [], connected: 0, reset: 0, refused: 0, closes: 0 }
  const running = load(proxy.port, 16, tally)
  await until(() => tally.ok > 100, 'traffic')
  t.equal((await proxy.post('/drain_listeners?graceful')).status, 200)
  await until(() => tally.refused > 0, 'after the drain time the port refuses')
  await running.stop()
  t.same(tally.failed, [])
  // What the kernel had completed but the closing listener had not accepted yet is reset: a refusal, a moment later.
  const accepted = await proxy.stat(`listener.127.0.0.1_${proxy.port}.downstream_cx_total`)
  t.ok(accepted > 0, 'the proxy accepted connections')
  t.ok(tally.reset <= tally.connected - accepted, `${tally.reset} resets, ${tally.connected - accepted} never accepted`)
  t.ok(tally.closes > 0, 'clients were told to close')
})

t.test('SIGTERM ends the process with status 0', async t => {
  const upstream = await allocatePort()
  const proxy = await RunningProxy.start({ upstream })
  proxy.signal('SIGTERM')
  t.equal(await proxy.exited, 0)
  await proxy.stop()
})

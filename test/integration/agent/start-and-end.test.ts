import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { Agent, createServer, get } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../harness/until.ts'
import { ask, RunningAgent } from './running-agent.ts'

const FAKE = join(import.meta.dirname, 'fake-proxy.ts')

t.test('SIGTERM: 15020 takes no more connections, and answers 503 on those that are there', async t => {
  const agent = new RunningAgent()
  t.teardown(() => agent.stop())
  agent.start(FAKE, {}, { terminationDrainDuration: '3s' })
  await until(async () => (await ask(agent.admin, '/ping')).status === 200)
  writeFileSync(
    join(agent.folder, 'stats'),
    'cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\nserver.state: 0\nlistener_manager.workers_started: 1\n',
  )
  const kept = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => kept.destroy())
  const ready = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const asked = get({ port: agent.status, path: '/healthz/ready', agent: kept }, answer => {
        answer.resume().on('end', () => resolve(answer.statusCode ?? 0))
      })
      asked.on('error', reject)
    })
  t.equal(await ready(), 200)
  agent.signal('SIGTERM')
  await agent.says('Status server has successfully terminated')
  t.match(await ask(agent.status, '/healthz/ready'), { status: 0, body: /ECONNREFUSED/ })
  t.equal(await ready(), 503)
  await agent.says('server is terminated: received signal: terminated')
  agent.signal('SIGTERM')
  agent.signal('SIGUSR1')
  await agent.says('Graceful termination period complete')
  t.equal(await agent.exit, 0)
  t.notMatch(agent.output, 'Debugger listening')
})

t.test('a signal while the agent starts is not lost', async t => {
  const agent = new RunningAgent()
  t.teardown(() => agent.stop())
  agent.start(FAKE)
  await agent.says('Version ')
  agent.signal('SIGINT')
  t.equal(await agent.exit, 0)
  t.match(agent.output, 'Agent has successfully terminated')
})

t.test('a status port that is taken is told, and the proxy runs', async t => {
  const other = createServer((_, response) => void response.end())
  const agent = new RunningAgent()
  t.teardown(() => other.close())
  await new Promise<void>(resolve => other.listen(agent.status, '::', resolve))
  t.teardown(() => agent.stop())
  agent.start(FAKE)
  await agent.says(`Error listening on status port: listen tcp :${agent.status}: bind: address already in use`)
  await until(async () => (await ask(agent.admin, '/ping')).status === 200)
})

t.test('DISABLE_ENVOY: no proxy; ready by the bootstrap of gRPC and the certificates that it names', async t => {
  const agent = new RunningAgent()
  t.teardown(() => agent.stop())
  const certificates = join(agent.folder, 'certs')
  agent.start('/no/such/proxy', {
    DISABLE_ENVOY: 'true',
    OUTPUT_CERTS: certificates,
    GRPC_XDS_BOOTSTRAP: 'g/boot.json',
  })
  const path = join(agent.folder, 'g/boot.json')
  await until(async () => existsSync(path))
  t.match(JSON.parse(readFileSync(path, 'utf8')), {
    xds_servers: [{ server_uri: 'unix:///etc/istio/proxy/XDS' }],
    node: {
      id: 'sidecar~10.1.2.3~echo-v1.demo~demo.svc.cluster.local',
      metadata: { GENERATOR: 'grpc', NAME: 'echo-v1' },
    },
  })
  t.equal(statSync(path).mode & 0o777, 0o644)
  t.equal((await ask(agent.status, '/healthz/ready')).status, 503)
  await agent.says(`NOT ready: ${certificates}/cert-chain.pem does not exist`)
  mkdirSync(certificates)
  for (const name of ['cert-chain.pem', 'key.pem', 'root-cert.pem']) writeFileSync(join(certificates, name), '')
  t.equal((await ask(agent.status, '/healthz/ready')).status, 200)
  t.notMatch((await ask(agent.status, '/metrics')).body, 'istio_agent_scrape_failures_total{type="envoy"}')
  agent.signal('SIGTERM')
  t.equal(await agent.exit, 0)
  t.notOk(existsSync(join(agent.folder, 'etc/istio/proxy/envoy-rev.json')))
})

t.test('the agent is gone although its probe of the application still waits', async t => {
  let asked = false
  const silent = createServer(() => {
    asked = true
  })
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  const agent = new RunningAgent()
  t.teardown(() => silent.closeAllConnections())
  t.teardown(() => silent.close())
  t.teardown(() => agent.stop())
  const { port } = silent.address() as { port: number }
  const readinessProbe = { httpGet: { path: '/', port, host: '127.0.0.1' }, timeoutSeconds: 600, periodSeconds: 1 }
  agent.start(FAKE, { INSTANCE_IP: '127.0.0.1' }, { readinessProbe })
  const stats = 'cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\n'
  writeFileSync(join(agent.folder, 'stats'), `${stats}server.state: 0\nlistener_manager.workers_started: 1\n`)
  await until(async () => asked)
  t.match(await ask(agent.status, '/quitquitquit', 'POST'), { status: 200 })
  t.equal(await agent.exit, 0)
})

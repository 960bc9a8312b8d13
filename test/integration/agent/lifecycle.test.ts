import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../harness/until.ts'
import { AGENT, ask, RunningAgent } from './running-agent.ts'

const FAKE = join(import.meta.dirname, 'fake-proxy.ts')

interface Seen {
  readonly argv?: string[]
  readonly method?: string
  readonly url?: string
}

async function started(
  t: { teardown: (fn: () => Promise<void>) => void },
  env: Record<string, string> = {},
  config: object = {},
  flags: string[] = [],
): Promise<{ agent: RunningAgent; seen: () => Seen[] }> {
  const agent = new RunningAgent()
  t.teardown(() => agent.stop())
  const seen = (): Seen[] => {
    const path = join(agent.folder, 'seen.jsonl')
    if (!existsSync(path)) return []
    return readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Seen)
  }
  agent.start(FAKE, env, config, flags)
  if (env.FAKE_EXIT === undefined) {
    await until(async () => (await ask(agent.admin, '/ping')).status === 200)
    await until(async () => (await ask(agent.status, '/ping')).status !== 0)
  }
  return { agent, seen }
}

function posts(seen: Seen[]): string[] {
  return seen.filter(entry => entry.method === 'POST').map(entry => entry.url as string)
}

t.test('the proxy is started with the command line Istio uses', async t => {
  const flags = ['--proxyLogLevel', 'info,http:debug', '--concurrency=2']
  const { seen } = await started(t, {}, { drainDuration: '30s' }, flags)
  t.same(
    seen()[0]?.argv?.join(' '),
    '-c etc/istio/proxy/envoy-rev.json --drain-time-s 30 --drain-strategy immediate --local-address-ip-version v4 ' +
      '--file-flush-interval-msec 1000 --disable-hot-restart --allow-unknown-static-fields -l info ' +
      '--component-log-level http:debug --skip-deprecated-logs --concurrency 2',
  )
})

t.test('SIGTERM: drain inbound, wait terminationDrainDuration, kill, exit 0, bootstrap removed', async t => {
  const { agent, seen } = await started(t)
  const before = performance.now()
  agent.signal('SIGTERM')
  t.equal(await agent.exit, 0)
  t.ok(performance.now() - before >= 1000, 'not before the drain duration')
  t.same(posts(seen()), ['/drain_listeners?inboundonly&graceful'])
  t.match(agent.output, 'Graceful termination period is 1s, starting...')
  t.match(agent.output, 'Agent has successfully terminated')
  t.notOk(existsSync(join(agent.folder, 'etc/istio/proxy/envoy-rev.json')))
})

t.test('/drain and then SIGTERM: drained once with skip_exit, then gone at once', async t => {
  const { agent, seen } = await started(t, {}, { terminationDrainDuration: '600s' })
  t.match(await ask(agent.status, '/drain', 'POST'), { status: 200, body: 'OK' })
  await until(async () => posts(seen()).length > 0)
  agent.signal('SIGTERM')
  t.equal(await agent.exit, 0)
  t.same(posts(seen()), ['/drain_listeners?inboundonly&graceful&skip_exit'])
})

t.test('/quitquitquit: gone at once, without a drain', async t => {
  const { agent, seen } = await started(t, {}, { terminationDrainDuration: '600s' })
  t.match(await ask(agent.status, '/quitquitquit', 'POST'), { status: 200, body: 'OK' })
  t.equal(await agent.exit, 0)
  t.same(posts(seen()), [])
})

t.test('a crash of the proxy ends the agent with its status and says so', async t => {
  const { agent } = await started(t, { FAKE_EXIT: '3' })
  t.equal(await agent.exit, 3)
  t.match(agent.output, '\terror\tEnvoy exited with error: exit status 3')
})

t.test('a proxy that cannot be started is named', async t => {
  const agent = new RunningAgent()
  t.teardown(() => agent.stop())
  agent.start('/no/such/proxy')
  t.equal(await agent.exit, 127)
  t.match(agent.output, 'fork/exec /no/such/proxy: no such file or directory')
})

t.test('EXIT_ON_ZERO_ACTIVE_CONNECTIONS waits for the connections of the pod, not for its own', async t => {
  const { agent } = await started(t, { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '10ms' })
  const own = `listener.0.0.0.0_${agent.health}.downstream_cx_active: 4\nlistener.admin.downstream_cx_active: 1\n`
  const stats = join(agent.folder, 'stats')
  writeFileSync(stats, `${own}listener.10.1.2.3_80.downstream_cx_active: 2\nhttp.in.downstream_cx_active: 9\n`)
  agent.signal('SIGTERM')
  await agent.says('There are still 2 active connections')
  writeFileSync(stats, `${own}listener.10.1.2.3_80.downstream_cx_active: 0\n`)
  t.equal(await agent.exit, 0)
  t.match(agent.output, 'There are no more active connections')
})

t.test('readiness: reasons in Istio words, 503 and 200 with empty bodies, both conditions latch', async t => {
  const { agent } = await started(t)
  const stats = join(agent.folder, 'stats')
  const ready = async (): Promise<number> => {
    const answer = await ask(agent.status, '/healthz/ready')
    t.equal(answer.body, '')
    t.equal(answer.headers.vary, 'Accept-Encoding')
    return answer.status
  }
  t.equal(await ready(), 503)
  await agent.says(
    '\twarn\tEnvoy proxy is NOT ready: config not received from XDS server (is Istiod running?): ' +
      'cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected',
  )
  const cds = 'cluster_manager.cds.update_success: 1\n'
  writeFileSync(stats, `${cds}listener_manager.lds.update_rejected: 2\n`)
  t.equal(await ready(), 503)
  await agent.says(
    'config received from XDS server, but was rejected: cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 2 rejected',
  )
  writeFileSync(stats, cds)
  t.equal(await ready(), 503)
  await agent.says('config not fully received from XDS server')
  writeFileSync(
    stats,
    `${cds}listener_manager.lds.update_success: 1\nserver.state: 3\nlistener_manager.workers_started: 0\n`,
  )
  t.equal(await ready(), 503)
  await agent.says('server is not live, current state is: INITIALIZING')
  writeFileSync(stats, 'server.state: 0\nlistener_manager.workers_started: 0\n')
  t.equal(await ready(), 503, 'the first condition has latched')
  await agent.says('workers have not yet started')
  writeFileSync(stats, 'server.state: 0\nlistener_manager.workers_started: 1\n')
  t.equal(await ready(), 200)
  writeFileSync(stats, 'server.state: 1\n')
  t.equal(await ready(), 200, 'the second condition has latched')
  await agent.says('Readiness succeeded in')
  await agent.says('Envoy proxy is ready')
  t.equal(agent.output.split('Envoy proxy is ready').length, 2, 'told once')
})

t.test('endpoints of 15020 answer as Go does', async t => {
  const { agent } = await started(t)
  t.match(await ask(agent.status, '/nope'), { status: 404, body: '404 page not found\n' })
  t.match(await ask(agent.status, '/quitquitquit'), { status: 405, body: 'Method Not Allowed\n' })
  t.match(await ask(agent.status, '/app-health/app/livez'), {
    status: 400,
    body: 'app prober config does not exists for /app-health/app/livez',
  })
  const outside = Object.values(networkInterfaces())
    .flat()
    .find(address => address?.family === 'IPv4' && !address.internal)?.address
  if (outside !== undefined) {
    t.match(await ask(agent.status, '/quitquitquit', 'POST', outside), {
      status: 403,
      body: 'Only requests from localhost are allowed\n',
    })
  }
  const metrics = await ask(agent.status, '/stats/prometheus')
  t.equal(metrics.status, 200, 'also when the proxy cannot be scraped')
  t.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  t.match(metrics.body, 'istio_agent_scrapes_total 1')
  t.match((await ask(agent.status, '/metrics')).body, 'istio_agent_scrape_failures_total{type="envoy"} 2')
})

t.test('command line', async t => {
  const run = (...args: string[]): { status: number | null; out: string; err: string } => {
    const done = spawnSync(process.execPath, [AGENT, ...args], { encoding: 'utf8' })
    return { status: done.status, out: done.stdout, err: done.stderr }
  }
  const unknown = run('proxy', 'ztunnel', '--proxyLogLvel=info')
  t.match(unknown, { out: /unknown flag --proxyLogLvel=info is ignored; did you mean --proxyLogLevel/ })
  t.match(run('wait', '--periodMilli=1'), { status: 255, err: /did you mean --periodMillis/ })
  t.match(run('prxy'), { status: 255, err: /unknown command "prxy"/ })
  t.match(run('proxy', 'ztunnel'), { status: 255, out: /invalid proxy Type: ztunnel; use sidecar, router or waypoint/ })
  t.match(run('version', '--short'), { status: 0, out: /^\d+\.\d+\.\d+\n$/ })
  t.match(run('request', 'GET', 'stats', '--debug-port', '80'), { status: 255, out: /not in allowed list/ })
  t.match(run('wait', '--timeoutSeconds=1', '--periodMillis=100', '--url', 'http://127.0.0.1:22999/'), {
    status: 255,
    err: /^Error: timeout waiting for Envoy proxy/,
    out: /timeout waiting for Envoy proxy to become ready. Last error: Get "http:\/\/127.0.0.1:22999\/"/,
  })
  const json = run('wait', '--timeoutSeconds=0', '--log_as_json').out.split('\n')[0] as string
  t.match(JSON.parse(json), { level: 'info', msg: /Waiting for Envoy proxy/, time: /^\d{4}-.*\d{6}Z$/ })
})

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { allocatePort } from '../../harness/ports.ts'
import { settled, until } from '../../harness/until.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'remora-serve-'))
const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'

const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

function config(admin: number, listener: number, upstream: number): string {
  const hcm = {
    '@type': HCM,
    stat_prefix: 'in',
    route_config: {
      virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] }],
    },
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } }],
  }
  const file = join(directory, `envoy-${listener}.json`)
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: socket(upstream) } }] }]
  const bootstrap = {
    admin: { address: socket(admin) },
    stats_flush_interval: '0.2s',
    static_resources: {
      listeners: [
        { name: 'l', address: socket(listener), filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }] },
      ],
      clusters: [{ name: 'up', type: 'STATIC', load_assignment: { cluster_name: 'up', endpoints } }],
    },
  }
  writeFileSync(file, JSON.stringify(bootstrap))
  return file
}

interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  body: string
}

function get(port: number, path: string, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path, method, agent: false }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    request.on('error', reject)
    request.end()
  })
}

interface Running {
  readonly child: ChildProcess
  readonly log: () => string
  readonly ended: Promise<number | null>
}

function start(...args: string[]): Running {
  const child = spawn(ENVOY, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stderr?.on('data', chunk => {
    log += chunk
  })
  child.stdout?.on('data', chunk => {
    log += chunk
  })
  return { child, log: () => log, ended: new Promise(resolve => child.once('close', code => resolve(code))) }
}

const live = (admin: number): Promise<void> => until(async () => (await get(admin, '/ready')).status === 200)

t.test('a static bootstrap serves through its workers, counts, and ends with 0 on SIGTERM', async t => {
  const upstream = http.createServer((request, response) => response.end(`you asked ${request.url}`))
  await new Promise<void>(resolve => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => upstream.close())
  const path = join(directory, 'admin-address')
  const [admin, port] = [await allocatePort(), await allocatePort()]
  const file = config(admin, port, (upstream.address() as AddressInfo).port)
  const envoy = start('-c', file, '--concurrency', '2', '--admin-address-path', path)
  t.teardown(() => envoy.child.kill('SIGKILL'))
  await live(admin)
  t.equal(readFileSync(path, 'utf8'), `127.0.0.1:${admin}`)
  for (let i = 0; i < 4; i++) {
    const answer = await get(port, `/n${i}`)
    t.match(answer, { status: 200, body: `you asked /n${i}`, headers: { server: 'envoy' } })
  }
  const page = async (): Promise<string> => (await get(admin, '/stats?filter=cluster.up.upstream_rq')).body
  const stats = await settled(page, text => text.includes('upstream_rq_200: 4\n'))
  t.match(stats, 'cluster.up.upstream_rq_200: 4\n')
  t.match(stats, 'cluster.up.upstream_rq_total: 4\n')
  const prometheus = (await get(admin, '/stats/prometheus?filter=cluster.up.upstream_rq_xx|upstream_rq_2xx')).body
  t.match(prometheus, 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="up"} 4')
  await until(async () => (await get(admin, '/stats?filter=up.upstream_rq_time')).body.includes('P50('))
  envoy.child.kill('SIGTERM')
  t.equal(await envoy.ended, 0)
  t.match(envoy.log(), /\[warning\]\[main\] \[.*\] caught ENVOY_SIGTERM/)
  t.match(envoy.log(), /\[info\]\[main\] \[.*\] exiting\n/)
})

t.test('/quitquitquit ends the process with 0, and GET is refused', async t => {
  const admin = await allocatePort()
  const envoy = start('-c', config(admin, await allocatePort(), 1), '--concurrency', '1')
  t.teardown(() => envoy.child.kill('SIGKILL'))
  await live(admin)
  t.match(await get(admin, '/quitquitquit'), { status: 405, body: 'Method GET not allowed, POST required.' })
  t.match(await get(admin, '/quitquitquit', 'POST'), { status: 200, body: 'OK\n' })
  t.equal(await envoy.ended, 0)
})

t.test("an unreachable upstream is 503 with Envoy's words", async t => {
  const [admin, port] = [await allocatePort(), await allocatePort()]
  const envoy = start('-c', config(admin, port, 1), '--concurrency', '1', '-l', 'off')
  t.teardown(() => envoy.child.kill('SIGKILL'))
  await live(admin)
  const answer = await get(port, '/')
  t.equal(answer.status, 503)
  t.match(answer.body, /^upstream connect error or disconnect\/reset before headers\./)
  envoy.child.kill('SIGTERM')
  await envoy.ended
})

t.test('--mode validate says OK on stdout, or why not on stderr with exit code 1', async t => {
  const good = config(await allocatePort(), await allocatePort(), 1)
  const ok = start('-c', good, '--mode', 'validate', '-l', 'off')
  t.equal(await ok.ended, 0)
  t.equal(ok.log(), `configuration '${good}' OK\n`)
  const bad = join(directory, 'bad.yaml')
  writeFileSync(bad, 'bogus: 1\n')
  const wrong = start('-c', bad, '--mode', 'validate')
  t.equal(await wrong.ended, 1)
  t.match(
    wrong.log(),
    /\[critical\]\[main\] \[.*\] error initializing configuration '.*bad\.yaml': Protobuf message \(type envoy\.config\.bootstrap\.v3\.Bootstrap reason INVALID_ARGUMENT: .*no such field: 'bogus'\) has unknown fields/,
  )
})

t.test('a port that is taken ends the start with 1 and the bare reason on the last line', async t => {
  const port = await allocatePort()
  const squatter = http.createServer()
  await new Promise<void>(resolve => squatter.listen(port, '127.0.0.1', resolve))
  t.teardown(() => squatter.close())
  const envoy = start('-c', config(await allocatePort(), port, 1))
  t.equal(await envoy.ended, 1)
  t.ok(envoy.log().endsWith(`\ncannot bind '127.0.0.1:${port}': Address already in use\n`), envoy.log())
})

t.test('application_log_config sets the format of the log from where it was read', async t => {
  const ran = (format: string, ...args: string[]): { status: number | null; log: string } => {
    const yaml = `{application_log_config: {log_format: ${format}}, flags_path: /x}`
    const { status, stderr } = spawnSync(ENVOY, ['--mode', 'validate', '--config-yaml', yaml, ...args], {
      encoding: 'utf8',
    })
    return { status, log: stderr }
  }
  // Istio's two formats.
  const text = ran('{text_format: "%Y-%m-%dT%T.%fZ\\t%l\\tenvoy %n %g:%#\\t%v\\tthread=%t"}')
  t.match(
    text.log,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\twarning\tenvoy config \S+:\d+\tflags_path: .*\tthread=\d+$/m,
  )
  t.equal(text.status, 0)
  const json = ran('{json_format: {level: "%l", scope: "envoy %n", msg: "%j", n: {a: [1, "%t"]}}}')
  const line = json.log.split('\n').find(found => found.includes('flags_path'))
  t.match(JSON.parse(line!), {
    level: 'warning',
    scope: 'envoy config',
    msg: /^flags_path: /,
    n: { a: [1, /^\d+$/] },
  })
  // Words of the real proxy.
  t.match(ran('{json_format: {msg: "%v"}}'), {
    status: 1,
    log: 'setJsonLogFormat error: INVALID_ARGUMENT: Usage of %v is unavailable for JSON log formats',
  })
  t.match(ran('{text_format: "%v"}', '--log-format', '%v'), {
    status: 1,
    log: 'Only one of ApplicationLogConfig.log_format or CLI option --log-format can be specified.',
  })
  t.match(ran('{}'), { status: 1, log: 'reason: is required' })
})

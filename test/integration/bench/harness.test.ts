import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { BenchReport } from '../../../bench/load/result.ts'
import { allocatePort } from '../../harness/ports.ts'

const ROOT = join(import.meta.dirname, '../../..')
/** Outside the range of the other tests' peers. */
const FIRST_PORT = '26000'
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const missing = ['nginx', 'wrk', 'h2load'].filter(program => !has(program))
const skip = missing.length === 0 ? {} : { skip: `no ${missing.join(', ')}` }

// Most of it is waiting: for time-outs that must fire, for logs that are written once a second.
t.setTimeout(280_000)

t.test('a run measures what was asked for, checks every process, and writes its three files', skip, async t => {
  const output = t.testdir()
  const cases = 'http1-small,grpc-unary,tcp-small,memory-idle,memory-http2-stream'
  const argv = ['bench', '--profile', 'smoke', '--only', cases, '--peers', 'remora,node', '--first-port', FIRST_PORT]
  const run = spawnSync(join(ROOT, 'bin/remora'), [...argv, '--output', output], { encoding: 'utf8' })
  t.equal(run.status, 0, run.stdout + run.stderr)
  const report = JSON.parse(readFileSync(join(output, 'result.json'), 'utf8')) as BenchReport
  t.same(
    report.cases.map(one => one.id),
    cases.replace('memory-idle', 'memory-idle,memory-idle-pss').split(','),
  )
  for (const one of report.cases) {
    const remora = one.checks.find(({ peer }) => peer === 'remora')?.checks ?? []
    t.ok(remora.length > 0, one.id)
    t.ok(
      one.rounds.some(({ peer, value }) => peer === 'remora' && Number.isFinite(value)),
      `${one.id}: ${one.notes.join()}`,
    )
    t.same(
      one.checks.flatMap(({ checks }) => checks.filter(check => !check.passed)),
      [],
      one.id,
    )
    t.ok(
      one.ratios.every(ratio => !ratio.conclusive),
      'one round is no ratio',
    )
  }
  const http = report.cases[0]!.checks.find(({ peer }) => peer === 'remora')!.checks.map(check => check.name)
  for (const name of [
    'x-envoy-upstream-service-time',
    'request id reaches the upstream',
    'retry policy acts',
    'route timeout is armed',
    'stats moved',
    'access log line',
    'every request of the load is in the stats',
    'every request of the load is in the access log',
  ])
    t.ok(http.includes(name), name)
  t.match(
    report.peers.map(peer => peer.id),
    ['remora', 'node'],
  )
  t.match(report.peers[0]!.configurations['http1'], 'retry_policy')
  t.match(readFileSync(join(output, 'result.csv'), 'utf8'), 'http1-small')
  t.match(readFileSync(join(output, 'report.html'), 'utf8'), '<svg')
})

t.test('the user’s own bootstrap is a case', skip, async t => {
  const folder = t.testdir({
    'envoy.yaml': `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${await allocatePort()} } } }
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: ${await allocatePort()} } }
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: own
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { path: /a }
                direct_response: { status: 200, body: { inline_string: a } }
              - match: { prefix: / }
                direct_response: { status: 204 }
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`,
    urls: 'http://shop.test/a\nhttp://shop.test/b\n',
    har: JSON.stringify({
      log: { entries: [{ request: { method: 'POST', url: 'https://shop.test/c', postData: { text: '"x"' } } }] },
    }),
  })
  const argv = ['bench', '--profile', 'smoke', '--config', join(folder, 'envoy.yaml'), '--urls', join(folder, 'urls')]
  argv.push('--har', join(folder, 'har'))
  const output = ['--peers', 'remora', '--first-port', FIRST_PORT, '--output', join(folder, 'out')]
  const run = spawnSync(join(ROOT, 'bin/remora'), [...argv, ...output], { encoding: 'utf8' })
  t.equal(run.status, 0, run.stdout + run.stderr)
  const report = JSON.parse(readFileSync(join(folder, 'out/result.json'), 'utf8')) as BenchReport
  const [one] = report.cases
  t.same(
    one!.checks[0]!.checks.map(({ name, passed }) => `${name} ${passed}`),
    [
      'answers GET shop.test/a true',
      'answers GET shop.test/b true',
      'answers POST shop.test/c true',
      'stats moved true',
    ],
  )
  t.ok(one!.rounds[0]!.count > 0)
})

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Comparison } from '../../../bench/compare/result.ts'
import { editingProxy, type Outcome, REMORA, runCompare } from './compare-command.ts'

t.setTimeout(280_000)

const folder = mkdtempSync(join(tmpdir(), 'remora-compare-test-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const TYPE = 'type.googleapis.com/envoy.extensions'
const CONFIG = `
static_resources:
  listeners:
  - name: ingress
    address: {socket_address: {address: 0.0.0.0, port_value: 8080}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": ${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {prefix: /direct}, direct_response: {status: 418, body: {inline_string: "<script>teapot</script>"}}}
              - {match: {prefix: /retried}, route: {cluster: up, retry_policy: {retry_on: 5xx, num_retries: 1, retry_back_off: {base_interval: 0.001s}}}}
              - {match: {prefix: /moved}, route: {cluster: up, prefix_rewrite: /here}}
              - {match: {prefix: /gone}, route: {cluster: up}}
              - {match: {prefix: /h2}, route: {cluster: up2}}
              - {match: {prefix: /plain}, route: {cluster: up}, response_headers_to_add: [{header: {key: x-seen, value: "yes"}}]}
          http_filters:
          - {name: router, typed_config: {"@type": ${TYPE}.filters.http.router.v3.Router}}
  clusters:
  - name: up2
    type: LOGICAL_DNS
    transport_socket: {name: tls, typed_config: {"@type": ${TYPE}.transport_sockets.tls.v3.UpstreamTlsContext, sni: nowhere.invalid}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": ${TYPE}.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: up2, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: nowhere.invalid, port_value: 443}}}}]}]}
  - name: up
    type: STRICT_DNS
    load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: nowhere.invalid, port_value: 80}}}}]}]}
`
const entry = (path: string, status: number, text: string, method = 'GET', httpVersion = 'HTTP/1.1'): object => ({
  request: {
    method,
    httpVersion,
    url: `http://api.test:8080${path}`,
    headers: [{ name: 'X-Trace', value: path }],
    ...(method === 'POST' ? { postData: { text } } : {}),
  },
  response: { status, headers: [{ name: 'X-Up', value: '1' }], content: { text } },
})
const TRACE = JSON.stringify({
  log: {
    entries: [
      entry('/plain?a=1', 200, 'hello'),
      entry('/direct', 418, ''),
      entry('/retried', 503, 'no'),
      entry('/moved/x', 201, 'made', 'POST'),
      entry('/gone', 200, 'still here'),
      entry('/unknown', 404, ''),
      entry('/plain', 200, '', 'HEAD'),
      entry('/h2/x', 201, 'over h2', 'POST'),
      entry('/plain/h2', 200, 'both over h2', 'POST', 'h2'),
      entry('/direct', 418, '', 'GET', 'HTTP/2.0'),
    ],
  },
})
const config = file('envoy.yaml', CONFIG)
const trace = file('trace.har', TRACE)

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

const compare = (...argv: string[]): Promise<Outcome> =>
  runCompare(folder, 27300, ['--config', config, '--trace', trace, ...argv])

const envoy = process.env['ENVOY_BINARY'] ?? ''
const skip = !existsSync(envoy) && 'no real Envoy (ENVOY_BINARY)'
if (skip !== false) process.stderr.write('SKIPPED: no real Envoy (ENVOY_BINARY): remora compare was not tried on it\n')

t.test('the real Envoy and Remora agree: status 0', { skip }, async t => {
  const { status, out, errors } = await compare('--envoy', envoy, '--no-measure')
  t.equal(status, 0, out + errors)
  t.match(out, /10 of 10 requests agree; \d{3} stat names are common, 0 differ\nequal/)
})

t.test(
  'every seeded difference is found: status, body, headers, flags, details, attempts, upstream path, stat names',
  async t => {
    const edit = `text => text
    .replace('"status": 418', '"status": 419').replace('teapot', 'kettle')
    .replace('"num_retries": 1', '"num_retries": 2')
    .replace('"prefix_rewrite": "/here"', '"prefix_rewrite": "/there"')
    .replace('"prefix": "/gone"', '"prefix": "/other"')
    .replace('"value": "yes"', '"value": "no"')
    .replace('"stat_prefix": "ingress"', '"stat_prefix": "egress"')`
    const { status, out, errors } = await compare(
      '--envoy',
      editingProxy(folder, 'fake-envoy', edit),
      '--no-measure',
      '--json',
    )
    t.equal(status, 1, errors)
    const { requests, stats, equal } = JSON.parse(out) as Comparison
    t.equal(equal, false)
    const found = requests.map(request =>
      request.differences.map(({ aspect, what, envoy, remora }) => `${aspect} ${what}: ${envoy} / ${remora}`.trim()),
    )
    t.same(found[0], ['headers x-seen: no / yes'])
    t.match(
      found[1]!.join('\n'),
      /^status : HTTP\/1.1 419 .* \/ HTTP\/1.1 418 .*\nbody : <script>kettle<\/script> \/ <script>teapot<\/script>\nlog code: 419 \/ 418$/,
    )
    t.same(
      found[2]!.filter(line => line.startsWith('attempts') || line.startsWith('log attempts')),
      ['log attempts: 3 / 2', 'attempts number: 3 / 2'],
    )
    t.match(found[3]!.join('\n'), 'attempts 1 request line: POST /there/x HTTP/1.1 / POST /here/x HTTP/1.1')
    t.match(found[4]!.join('\n'), /flags : NR \/ -\ndetails : route_not_found \/ via_upstream/)
    t.same(found[5], [])
    t.same(found[6], ['headers x-seen: no / yes'])
    t.same(found[7], [])
    t.same(found[8], ['headers x-seen: no / yes'], 'over HTTP/2')
    t.match(requests[8]!.remora, { status: 'HTTP/2 200', body: 'both over h2', log: { protocol: 'HTTP/2' } })
    t.match(found[9]!.join('\n'), /^status : HTTP\/2 419 \/ HTTP\/2 418\nbody : /)
    t.match(requests[7]!.remora.attempts, [{ cluster: 'up2', protocol: 'HTTP/2', body: 'over h2' }])
    t.ok(stats.onlyEnvoy.some(name => name.startsWith('http.egress.')))
    t.ok(stats.onlyRemora.some(name => name.startsWith('http.ingress.')))
    t.ok(
      stats.counts.some(
        ({ name, envoy, remora }) => name === 'cluster.up.upstream_rq_retry' && envoy === 2 && remora === 1,
      ),
    )
    t.match(
      errors,
      /2\. GET http:\/\/api\.test:8080\/direct\n {3}status\n {5}Envoy: {2}HTTP\/1\.1 419/,
      'and told as text',
    )
  },
)

t.test(
  'a proxy compared with itself is equal; its page has the comparison and the measurement',
  { timeout: 250_000 },
  async t => {
    const page = join(folder, 'report.html')
    const { status, out, errors } = await compare('--envoy', REMORA, '--html', page, '--rounds', '1', '--seconds', '1')
    t.equal(status, 0, out + errors)
    const text = readFileSync(page, 'utf8')
    t.match(text, '<h2>Both behave the same</h2>')
    t.match(text, 'What was made equal before comparing')
    t.notMatch(text, '<script')
    const tools = ['nginx', 'wrk'].every(tool => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0)
    if (tools) {
      t.match(out, /Remora: [\d.]+ µs of CPU per request/)
      t.match(out, /Remora: p50 .*, p99 .*, p99\.9 /)
      t.match(text, '<section id="latency">')
      t.match(text, '<section id="throughput">')
      t.match(text, /every request of the load is in the access log/)
    } else t.match(out, /not measured: no (nginx|wrk)/)
  },
)

t.test('what cannot be compared says why, with status 2', async t => {
  const missing = await compare('--envoy', join(folder, 'nothing'), '--no-measure')
  t.equal(missing.status, 2)
  t.match(missing.errors, /Error: .*nothing: cannot be run/)
  const broken = await compare('--envoy', editingProxy(folder, 'broken', `text => '{"admin": 1}'`), '--no-measure')
  t.equal(broken.status, 2)
  t.match(broken.errors, /Error: Envoy: proxy did not become ready/)
  const noTrace = await compare('--envoy', REMORA, '--trace', join(folder, 'no.har'))
  t.equal(noTrace.status, 2)
  t.match(noTrace.errors, /no\.har/)
  const help = await compare('--help')
  t.equal(help.status, 0)
  t.match(help.out, '--real-upstreams')
})

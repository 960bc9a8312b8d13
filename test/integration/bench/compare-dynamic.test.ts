import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Comparison } from '../../../bench/compare/result.ts'
import type { BenchReport } from '../../../bench/load/result.ts'
import { editingProxy, type Outcome, REMORA, runCompare } from './compare-command.ts'

t.setTimeout(280_000)

const ISTIO = join(import.meta.dirname, '../../fixtures/istio')
const folder = mkdtempSync(join(tmpdir(), 'remora-compare-dynamic-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const CONFIG = 'type.googleapis.com/envoy.config'
const TYPE = 'type.googleapis.com/envoy.extensions'
const ads = { ads: {}, resource_api_version: 'V3' }

const bootstrap = (apiType: string): object => ({
  node: { id: 'n', cluster: 'c' },
  dynamic_resources: {
    ads_config: {
      api_type: apiType,
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
    },
    cds_config: ads,
    lds_config: ads,
  },
  static_resources: { clusters: [{ ...cluster('xds', 'STRICT_DNS', true), load_assignment: assignment('xds') }] },
})

function cluster(name: string, type: string, http2 = false): object {
  const options = {
    '@type': `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  }
  const key = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  return { name, type, ...(http2 ? { typed_extension_protocol_options: { [key]: options } } : {}) }
}

/** An endpoint that nobody can reach. */
function assignment(cluster: string): object {
  const address = { socket_address: { address: '192.0.2.1', port_value: 80 } }
  return { cluster_name: cluster, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] }
}

function listener(name: string, port: number, more: object, chain: object = {}): object {
  const manager = {
    '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    rds: { route_config_name: 'routes', config_source: ads },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` } }],
    ...more,
  }
  return {
    '@type': `${CONFIG}.listener.v3.Listener`,
    name,
    address: { socket_address: { address: '0.0.0.0', port_value: port } },
    filter_chains: [{ ...chain, filters: [{ name: 'hcm', typed_config: manager }] }],
  }
}

const tls = {
  name: 'tls',
  typed_config: {
    '@type': `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
    require_client_certificate: true,
    common_tls_context: {
      alpn_protocols: ['h2', 'http/1.1'],
      tls_certificate_sds_secret_configs: [{ name: 'own', sds_config: ads }],
      validation_context_sds_secret_config: { name: 'peers', sds_config: ads },
    },
  },
}

const resources = (seen: string): object => ({
  resources: [
    {
      '@type': `${CONFIG}.cluster.v3.Cluster`,
      ...cluster('up', 'EDS', true),
      eds_cluster_config: { service_name: 'endpoints-of-up', eds_config: ads },
      connect_timeout: seen === 'first' ? '1s' : '2s',
    },
    { '@type': `${CONFIG}.endpoint.v3.ClusterLoadAssignment`, ...assignment('endpoints-of-up') },
    {
      '@type': `${CONFIG}.route.v3.RouteConfiguration`,
      name: 'routes',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }],
          response_headers_to_add: [{ header: { key: 'x-seen', value: seen } }],
        },
      ],
    },
    listener('plain', 8080, {}),
    listener('two', 8081, { codec_type: 'HTTP2' }),
    listener('secure', 8443, {}, { transport_socket: tls }),
  ],
})

const entry = (url: string, httpVersion: string, response: object): object => ({
  request: { method: 'POST', url, httpVersion, headers: [{ name: 'X-B', value: '1' }], postData: { text: 'hello' } },
  response,
})
const broken = { status: 200, headers: [], content: { text: 'half' }, _error: 'net::ERR_HTTP2_PROTOCOL_ERROR' }
const TRACE = {
  log: {
    entries: [
      entry('http://a.test:8080/', 'HTTP/1.1', { status: 201, headers: [], content: { text: 'made' } }),
      entry('http://a.test:8080/', 'h2', broken),
      entry('http://a.test:8081/', 'HTTP/1.1', { status: 200, headers: [], content: { text: 'x' } }),
      entry('https://a.test:8443/', 'h2', { status: 200, headers: [], content: { text: 'secret' } }),
      entry('https://a.test:8443/', 'HTTP/1.1', { status: 0, _error: 'net::ERR_CONNECTION_RESET' }),
    ],
  },
}

function file(name: string, content: object | string): string {
  const path = join(folder, name)
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

const trace = file('trace.har', TRACE)
const delta = file('delta.json', bootstrap('DELTA_GRPC'))
const sotw = file('sotw.json', bootstrap('GRPC'))
const first = file('first.json', resources('first'))
const second = file('second.json', resources('second'))

const FIRST_PORT = 24300
const compare = (...argv: string[]): Promise<Outcome> => runCompare(folder, FIRST_PORT, ['--no-measure', ...argv])

const envoy = process.env['ENVOY_BINARY'] ?? ''
const skip = !existsSync(envoy) && 'no real Envoy (ENVOY_BINARY)'
if (skip !== false)
  process.stderr.write('SKIPPED: no real Envoy (ENVOY_BINARY): dynamic_resources were not compared with it\n')

for (const [protocol, config] of [
  ['incremental', delta],
  ['state of the world', sotw],
] as const) {
  t.test(`the real Envoy and Remora agree on two pushes and what follows, ${protocol}`, { skip }, async t => {
    const pushes = ['--resources', first, '--resources', second]
    const { status, out, errors } = await compare(
      '--envoy',
      envoy,
      '--config',
      config,
      '--trace',
      trace,
      ...pushes,
      '--json',
    )
    t.equal(status, 0, errors)
    const found = JSON.parse(out) as Comparison
    t.equal(found.equal, true)
    t.match(found.pushes[0], { from: first, differences: [] })
    t.same(
      found.pushes[0]!.envoy.map(({ type, names, rejections }) => [type, names.join(), ...rejections]),
      [
        ['Cluster', 'up'],
        ['ClusterLoadAssignment', 'endpoints-of-up'],
        ['Listener', 'plain,secure,two'],
        ['RouteConfiguration', 'routes'],
        ['Secret', 'own,peers'],
      ],
    )
    t.same(
      found.pushes[1]!.envoy.map(({ type, names, answered }) => [type, names.join(), answered]),
      [
        ['Cluster', 'up', true],
        ['ClusterLoadAssignment', 'endpoints-of-up', true],
        ['RouteConfiguration', 'routes', true],
      ],
      'a cluster that changed gets its endpoints again, and does not warm while requests go out',
    )
    const exchanges = found.requests.map(({ envoy }) => envoy)
    t.same(
      exchanges.map(({ status }) => status),
      ['HTTP/1.1 201 Created', 'HTTP/2 200', 'HTTP/2 200', 'HTTP/2 200', 'HTTP/1.1 503 Service Unavailable'],
    )
    t.same(exchanges[1]!.body, 'half')
    t.match(exchanges[1]!.connection, /^kept, answer incomplete, stream reset with INTERNAL_ERROR$/)
    t.ok(exchanges[0]!.headers.includes('x-seen: second'), 'the last push counts')
    t.match(exchanges[3]!.attempts, [{ cluster: 'endpoints-of-up', protocol: 'HTTP/2', body: 'hello' }])
    t.match(
      found.notes.join('\n'),
      /secret own, peers: made for this run[\s\S]*listener two: requests as its codec_type HTTP2/,
    )
  })
}

t.test('recorded pushes of a real istiod, without the filters that only Istio builds have', { skip }, async t => {
  const istio = ['istio.metadata_exchange', 'istio.alpn', 'istio.stats'].flatMap(name => ['--without', name])
  const pushes = ['--resources', join(ISTIO, 'pushes/default-sleep')]
  const urls = file('urls.txt', 'http://echo.demo/x\nhttp://127.0.0.1:8080/in\nhttp://127.0.0.1:15006/other\n')
  const from = ['--config', join(ISTIO, 'bootstrap-sleep.json'), '--trace', urls]
  const { status, out, errors } = await compare('--envoy', envoy, ...from, ...pushes, ...istio)
  t.equal(status, 0, out + errors)
  t.match(out, /1 of 1 pushes were answered alike: Cluster ACK \(37\), .* Listener ACK \(19\)/)
  t.match(out, '3 of 3 requests agree')
})

t.test('both reject a listener whose zipkin collector is no cluster, in the same words', { skip }, async t => {
  const zipkin = {
    '@type': `${CONFIG}.trace.v3.ZipkinConfig`,
    collector_cluster: 'nobody',
    collector_endpoint: '/spans',
    collector_endpoint_version: 'HTTP_JSON',
  }
  const tracing = { provider: { name: 'envoy.tracers.zipkin', typed_config: zipkin } }
  const inline = { rds: undefined, route_config: { virtual_hosts: [] } }
  const push = file('zipkin.json', {
    resources: [listener('plain', 8080, inline), listener('traced', 8081, { ...inline, tracing })],
  })
  const urls = file('zipkin.txt', 'http://a.test:8080/\nhttp://a.test:8081/\n')
  const { status, out, errors } = await compare(
    ...['--envoy', envoy, '--config', delta, '--trace', urls, '--resources', push, '--json'],
  )
  t.equal(status, 0, errors)
  const { pushes, notes } = JSON.parse(out) as Comparison
  const listeners = pushes[0]!.remora.find(({ type }) => type === 'Listener')
  t.same(listeners?.rejections, [
    "Error adding/updating listener(s) traced: envoy.tracers.zipkin: unknown cluster 'nobody'",
  ])
  t.match(
    notes.join('\n'),
    '1 of 2 requests were answered by neither, the first is 2. GET http://a.test:8081/: no answer: refused',
  )
})

t.test('a push that only one of them rejects, and a type that only one asks for, are found', async t => {
  const edit = `text => {
    const config = JSON.parse(text)
    delete config.dynamic_resources.cds_config
    config.static_resources.clusters = config.static_resources.clusters.filter(({ name }) => name === 'xds')
    return JSON.stringify(config)
  }`
  const fake = editingProxy(folder, 'fake', edit)
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'other' } }]
  const inline = { rds: undefined, route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], routes }] } }
  const push = file('routed.json', {
    resources: [
      { '@type': `${CONFIG}.cluster.v3.Cluster`, ...cluster('up', 'EDS'), eds_cluster_config: { eds_config: ads } },
      { '@type': `${CONFIG}.route.v3.RouteConfiguration`, name: 'routes', virtual_hosts: [] },
      listener('plain', 8080, {}),
      listener('routed', 8081, inline),
    ],
  })
  const both = { ...bootstrap('DELTA_GRPC') } as { static_resources: { clusters: object[] } }
  both.static_resources.clusters.push({ ...cluster('other', 'STATIC', true), load_assignment: assignment('other') })
  const urls = file('one.txt', 'http://a.test:8080/\n')
  const files = ['--config', file('both.json', both), '--trace', urls, '--resources', push]
  const { status, out, errors } = await compare('--envoy', fake, ...files)
  t.equal(status, 1, errors)
  t.match(out, /push, Cluster\n +Envoy: +not asked for\n +Remora: ACK; got 1: up/)
  t.match(
    out,
    /push, Listener\n +Envoy: +NACK: .*routed: route: unknown cluster 'other'; got 2: plain, routed\n +Remora: ACK; got 2: plain, routed/,
  )
  t.match(out, '0 of 1 pushes were answered alike')
})

t.test('a proxy that waits for what it is not given: the error names it', async t => {
  const waits = file('waits.json', {
    resources: [
      listener('plain', 8080, {
        rds: { route_config_name: 'nowhere', config_source: { ...ads, initial_fetch_timeout: '0s' } },
      }),
    ],
  })
  const urls = file('two.txt', 'http://a.test:8080/\n')
  const files = ['--config', delta, '--trace', urls, '--resources', waits, '--ready', '2']
  const { status, errors } = await compare('--envoy', REMORA, ...files)
  t.equal(status, 2)
  t.match(errors, /did not become ready[\s\S]*it asked for what --resources does not have: RouteConfiguration nowhere/)
})

t.test('files that a configuration watches are moved with what they hold', async t => {
  const watched = file('lds.json', {
    resources: [listener('plain', 8080, { rds: undefined, route_config: { virtual_hosts: [] } })],
  })
  const config = file('watching.json', { dynamic_resources: { lds_config: { path_config_source: { path: watched } } } })
  const urls = file('three.txt', 'GET http://a.test:8080/\n')
  const { status, out, errors } = await compare(
    '--envoy',
    skip === false ? envoy : REMORA,
    '--config',
    config,
    '--trace',
    urls,
  )
  t.equal(status, 0, out + errors)
  t.match(out, /note: node\.id and node\.cluster made up\n1 of 1 requests agree/)
})

const nginx = spawnSync('sh', ['-c', 'command -v nginx']).status === 0
t.test(
  'the measurement has its control plane, HTTP/2, and the certificate that compare made',
  { skip: !nginx && 'no nginx' },
  async t => {
    const ask = (method: string, url: string, headers: object[], text?: string): object => ({
      request: { method, url, httpVersion: 'h2', headers, ...(text === undefined ? {} : { postData: { text } }) },
    })
    const crumbs = ['a=1', 'b=2'].map(value => ({ name: 'cookie', value }))
    const entries = [
      ask('GET', 'https://a.test:8443/', crumbs),
      ask('DELETE', 'https://a.test:8443/gone', [], 'why'),
      ask('POST', 'https://a.test:8443/long', [], 'x'.repeat(16385)),
      ask('GET', 'http://a.test:8080/', []),
    ]
    const har = file('load.har', { log: { entries } })
    const files = ['--config', sotw, '--resources', first, '--resources', second, '--trace', har]
    const quick = ['--rounds', '1', '--seconds', '1', '--json']
    const { status, out, errors } = await runCompare(folder, FIRST_PORT, ['--envoy', REMORA, ...files, ...quick])
    t.equal(status, 0, errors)
    const { cases } = (JSON.parse(out) as { measurement: BenchReport }).measurement
    t.same(
      cases.map(({ id }) => id),
      ['trace', 'trace-latency'],
    )
    for (const { load, rounds, checks, notes } of cases) {
      t.match(
        load.join(),
        /--connections 8 .*--url https:.* --h2 --streams 32 --sni a\.test --cert CLIENT\.pem --key CLIENT\.key/,
      )
      t.notMatch(load.join(), '--connections 32')
      t.same(
        rounds.map(({ peer, errors, count }) => [peer, errors, count > 0]),
        [
          ['envoy', 0, true],
          ['remora', 0, true],
        ],
        notes.join('\n'),
      )
      t.same(
        checks.flatMap(({ checks }) => checks.filter(({ passed }) => !passed)),
        [],
      )
      t.ok(checks.every(({ checks }) => checks.some(({ name }) => name === 'answers DELETE a.test:8443/gone')))
    }
    t.match(
      cases[0]!.notes.join('\n'),
      '2 of 4 requests are in the load: those of text to listener secure over HTTP/2 with TLS for a.test, but bodies over 16 KiB',
    )
  },
)

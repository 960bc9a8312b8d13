import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { allocatePort } from '../harness/ports.ts'

/**
 * Mistakes everybody makes with a first configuration: the command ends with Envoy's exit code, says where the mistake is and
 * what to do, in a few lines and without a stack trace.
 */
const ENVOY = fileURLToPath(new URL('../../bin/envoy', import.meta.url))
const CERTS = fileURLToPath(new URL('../harness/certs/', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'remora-errors-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))

const GOOD = `static_resources:
  listeners:
  - name: web
    address:
      socket_address: { address: 127.0.0.1, port_value: 18080 }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: "/" }
                route: { cluster: backend }
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: backend
    connect_timeout: 1s
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: { address: 127.0.0.1, port_value: 18081 }
`

interface Outcome {
  readonly code: number | null
  readonly text: string
}

function run(...args: string[]): Outcome {
  const child = spawnSync(ENVOY, [...args, '-l', 'warning', '--concurrency', '1'], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { code: child.status, text: child.stderr }
}

/** Starts with `from` of the good configuration replaced by `to`. */
function mistake(from: string, to: string, name = 'bootstrap.yaml'): Outcome {
  if (!GOOD.includes(from)) throw new Error(`the good configuration has no ${from}`)
  const file = join(directory, name)
  writeFileSync(file, GOOD.replace(from, to))
  return run('-c', file)
}

function said(t: Test, outcome: Outcome, ...texts: readonly string[]): void {
  t.equal(outcome.code, 1, 'exit code 1')
  for (const text of texts) t.match(outcome.text, text)
  t.notMatch(outcome.text, /\n\s+at [^\n]*\.ts:\d+|node:internal/, 'no stack trace')
  t.ok(outcome.text.split('\n').length <= 10, 'few lines')
}

const HCM = 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.<any>'

t.test('a misspelled field is named with its line, its path and the right spelling', async t => {
  const place = `bootstrap.yaml:11:11, ${HCM}.stat_prefx`
  said(
    t,
    mistake('stat_prefix: web', 'stat_prefx: web'),
    "no such field: 'stat_prefx'",
    place,
    "did you mean 'stat_prefix'?",
  )
})

t.test('`route` for `routes` is told apart', async t => {
  said(t, mistake('routes:', 'route:'), `bootstrap.yaml:16:15, ${HCM}.route_config.virtual_hosts[0].route`, "'routes'?")
})

t.test('tabs are named as what they are', async t => {
  said(t, mistake('  listeners:', '\tlisteners:'), 'bootstrap.yaml:2:', 'Tabs are not allowed as indentation')
})

t.test('a cluster that does not exist is named with its nearest neighbour', async t => {
  const outcome = mistake('cluster: backend }', 'cluster: backnd }')
  said(t, outcome, "route: unknown cluster 'backnd'", 'bootstrap.yaml:18:26', "did you mean 'backend'?")
})

t.test('a duration in another unit is shown in seconds', async t => {
  said(t, mistake('connect_timeout: 1s', 'connect_timeout: 250ms'), 'bootstrap.yaml:25:5', 'write "0.25s"')
  said(t, mistake('connect_timeout: 1s', 'connect_timeout: 5'), 'clusters[0].connect_timeout', 'write "5s"')
})

t.test('a type that does not exist is named with its nearest neighbour, one of the v2 API as such', async t => {
  said(
    t,
    mistake('router.v3.Router', 'router.v3.Rooter'),
    "did you mean 'envoy.extensions.filters.http.router.v3.Router'?",
  )
  const old = mistake('envoy.extensions.filters.http.router.v3.Router', 'envoy.config.filter.http.router.v2.Router')
  said(t, old, 'bootstrap.yaml:21:', 'v2 API')
})

t.test('a typed_config without type says what to add', async t => {
  const typed = '"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'
  said(t, mistake(typed, 'dynamic_stats: true'), `${HCM}.http_filters[0].typed_config`, 'add "@type"')
})

t.test('a file that is missing, a folder and YAML in a file without its ending say so', async t => {
  said(t, run('-c', join(directory, 'absent.yaml')), 'Invalid path: ', 'there is no such file')
  said(t, run('-c', directory), 'unable to read file: ', 'this is a folder')
  said(
    t,
    mistake('web', 'web', 'bootstrap.conf'),
    'bootstrap.conf:1:1',
    'YAML is read from files that end in .yaml or .yml',
  )
})

t.test('an empty file and no file at all say so', async t => {
  writeFileSync(join(directory, 'empty.yaml'), '')
  said(t, run('-c', join(directory, 'empty.yaml')), 'Unable to convert YAML as JSON', 'the top level must be a mapping')
  said(t, run(), 'At least one of --config-path or --config-yaml', 'give a file with -c')
})

t.test('a host name in a static cluster points to STRICT_DNS', async t => {
  const outcome = mistake('address: 127.0.0.1, port_value: 18081', 'address: localhost, port_value: 18081')
  said(t, outcome, 'malformed IP address: localhost', "setting cluster type to 'STRICT_DNS'", 'bootstrap.yaml:31:')
})

t.test('an EDS cluster without eds_config is found', async t => {
  const outcome = mistake('connect_timeout: 1s', 'type: EDS')
  said(t, outcome, 'static_resources.clusters[0]')
})

t.test('a port that is taken names the listener', async t => {
  const port = await allocatePort()
  const other = createServer()
  await new Promise<void>(resolve => other.listen(port, '127.0.0.1', resolve))
  t.teardown(() => other.close())
  const outcome = mistake('18080', String(port))
  said(
    t,
    outcome,
    `listener 'web' failed to bind`,
    `'127.0.0.1:${port}': Address already in use`,
    'another process listens',
  )
})

t.test('a key of another certificate, one that is no certificate and one that is absent are told apart', async t => {
  const tls = (chain: string, key: string): Outcome =>
    mistake(
      '    - filters:',
      `    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: { filename: ${CERTS}${chain} }
              private_key: { filename: ${CERTS}${key} }
      filters:`,
    )
  said(
    t,
    tls('server.pem', 'other.key'),
    'KEY_VALUES_MISMATCH',
    'the key does not belong to the certificate',
    'bootstrap.yaml:13:15',
  )
  said(t, tls('other.key', 'server.pem'), 'Failed to load certificate chain from', 'not exchanged')
  said(t, tls('absent.pem', 'other.key'), 'Failed to load incomplete certificate', 'does not exist or is empty')
})

t.test('a log level that does not exist ends with one line', async t => {
  const child = spawnSync(ENVOY, ['-l', 'inof'], { encoding: 'utf8', timeout: 30_000 })
  t.equal(child.status, 1)
  t.equal(child.stderr, "error: invalid log level specified 'inof'\n")
})

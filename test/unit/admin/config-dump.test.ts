import t from 'tap'
import { configDumpHandler } from '../../../src/admin/config-dump.ts'
import type { DumpFacts, ResourceFact } from '../../../src/admin/config-dump-sections.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import { ask } from './fakes.ts'
import { recorded, withoutDebugMarker } from './recorded.ts'

const CLUSTER = 'envoy.config.cluster.v3.Cluster'
const LISTENER = 'envoy.config.listener.v3.Listener'

function fact(type: string, json: object, over: Partial<ResourceFact> = {}): ResourceFact {
  const { message } = readJson(type, json)
  const name = (json as { name?: string }).name ?? ''
  return { name, version: '', updated: Date.parse('2026-11-21T01:29:11.762Z'), message: () => message, ...over }
}

function facts(over: Partial<DumpFacts> = {}): DumpFacts {
  const none = (): [] => []
  return {
    bootstrap: () => fact('envoy.config.bootstrap.v3.Bootstrap', { node: { id: 'n', cluster: 'c' } }),
    clustersVersion: () => '',
    staticClusters: none,
    activeClusters: none,
    warmingClusters: none,
    endpoints: none,
    listenersVersion: () => '',
    staticListeners: none,
    activeListeners: none,
    warmingListeners: none,
    drainingListeners: none,
    listenerFailures: none,
    staticRoutes: none,
    dynamicRoutes: none,
    staticSecrets: none,
    activeSecrets: none,
    extensions: () => [],
    warmingSecrets: none,
    ...over,
  }
}

/** The static clusters of the recording, as configured, in an order that is not the dump's. */
interface Dumped {
  configs: { cluster: Record<string, unknown>; last_updated: string }[]
}
const dumped = JSON.parse(recorded('config-dump-static-clusters').body) as Dumped
const staticClusters: ResourceFact[] = dumped.configs
  .map(({ cluster: { '@type': _, ...json }, last_updated: time }) => fact(CLUSTER, json, { updated: Date.parse(time) }))
  .reverse()
const recordedFacts = facts({ staticClusters: () => staticClusters })
const dump = (target: string, of = recordedFacts) => ask(configDumpHandler(of), `/config_dump${target}`)
const configs = (body: string): Record<string, unknown>[] =>
  (JSON.parse(body) as { configs: Record<string, unknown>[] }).configs

t.test('one resource: elements as the real Envoy prints them, sorted by name', async t => {
  const answer = await dump('?resource=static_clusters')
  t.equal(answer.contentType, 'application/json')
  t.equal(answer.body, recorded('config-dump-static-clusters').body)
})

t.test('a mask goes on inside the resource', async t => {
  const { body } = await dump('?resource=static_clusters&mask=cluster.name,cluster.type')
  t.equal(body, recorded('config-dump-mask-any').body)
  t.same(Object.keys(configs((await dump('?resource=static_clusters&mask=last_updated')).body)[0]!), [
    '@type',
    'last_updated',
  ])
})

t.test('a mask over the whole dump keeps the sections that have the field', async t => {
  const { body } = await dump('?mask=bootstrap.node.id')
  t.same(configs(body), [
    { '@type': 'type.googleapis.com/envoy.admin.v3.BootstrapConfigDump', bootstrap: { node: { id: 'n' } } },
  ])
})

t.test('errors: status, text and the doubled nosniff header', async t => {
  for (const [target, status, body] of [
    ['?resource=bootstrap', 400, recorded('config-dump-not-repeated').body],
    ['?resource=nope', 404, recorded('config-dump-unknown').body],
    ['?name_regex=[', 400, recorded('config-dump-bad-regex').body],
    ['?mask=nope', 400, 'FieldMask nope could not be successfully applied to any configs.'],
    [
      '?resource=static_clusters&mask=nope',
      400,
      'FieldMask goo.gle/debug\npaths: "nope"\n could not be successfully used.',
    ],
  ] as const) {
    const answer = await dump(target)
    t.equal(answer.status, status, target)
    t.equal(withoutDebugMarker(answer.body), body, target)
    t.equal(answer.contentType, 'text/plain', target)
    t.same(answer.response.headers, [['x-content-type-options', 'nosniff']], target)
  }
})

t.test('name_regex must match the whole name and leaves the bootstrap alone', async t => {
  t.equal(configs((await dump('?resource=static_clusters&name_regex=static.*')).body).length, 1)
  t.equal((await dump('?resource=static_clusters&name_regex=tatic')).body, '{}\n')
  const all = configs((await dump('?name_regex=zzz')).body)
  t.match(all[0], { bootstrap: { node: { id: 'n' } } })
  t.notOk('static_clusters' in all[1]!)
})

t.test('sections come in the order of the real Envoy; endpoints only on request', async t => {
  const types = async (target: string) =>
    configs((await dump(target)).body).map(c => String(c['@type']).replace(/.*v3\./, ''))
  const all = [
    'BootstrapConfigDump',
    'ClustersConfigDump',
    'ListenersConfigDump',
    'ScopedRoutesConfigDump',
    'RoutesConfigDump',
    'SecretsConfigDump',
  ]
  t.same(await types(''), all)
  t.same(await types('?resource=&mask='), all)
  t.same(await types('?include_eds'), [
    'BootstrapConfigDump',
    'ClustersConfigDump',
    'EndpointsConfigDump',
    ...all.slice(2),
  ])
})

t.test('hosts as assignments', async t => {
  const of = facts({
    endpoints: () => [
      {
        name: 'dead',
        isStatic: true,
        overprovisioningFactor: 140,
        dropOverloads: [],
        localities: [
          {
            region: '',
            zone: '',
            subZone: '',
            priority: 0,
            weight: 0,
            hosts: [
              {
                address: { ip: '127.0.0.1', port: 18109, text: '127.0.0.1:18109' },
                hostname: '',
                flags: 0,
                weight: 1,
                metadata: null,
              },
            ],
          },
        ],
      },
    ],
  })
  const { body } = await dump('?resource=static_endpoint_configs&include_eds', of)
  t.same(configs(body)[0], configs(recorded('config-dump-static-endpoints').body)[0])
})

t.test('private keys never leave, wherever they stand', async t => {
  const key = '-----BEGIN PRIVATE KEY----- SECRET'
  const certificate = { certificate_chain: { inline_string: 'CHAIN' }, private_key: { inline_string: key } }
  const secret = { name: 's', tls_certificate: certificate }
  const socket = {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      common_tls_context: { tls_certificates: [certificate] },
    },
  }
  const bytes = { name: 'b', tls_certificate: { private_key: { inline_bytes: Buffer.from(key).toString('base64') } } }
  const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret'
  const of = facts({
    bootstrap: () => fact('envoy.config.bootstrap.v3.Bootstrap', { static_resources: { secrets: [secret] } }),
    staticListeners: () => [fact(LISTENER, { name: 'l', filter_chains: [{ transport_socket: socket }] })],
    staticSecrets: () => [fact(SECRET, secret)],
    activeSecrets: () => [fact(SECRET, bytes, { version: 'v1' })],
  })
  const { body } = await dump('', of)
  t.notMatch(body, 'SECRET')
  t.notMatch(body, Buffer.from(key).toString('base64'))
  t.match(body, 'CHAIN')
  t.match(body, '[redacted]')
})

t.test('dynamic resources: versions, states, and what was refused', async t => {
  const at = Date.parse('2026-11-21T00:59:51.791Z')
  const listener = fact(LISTENER, { name: 'dl' }, { version: 'v1' })
  const of = facts({
    clustersVersion: () => 'cds-v1',
    listenersVersion: () => 'lds-v1',
    activeClusters: () => [fact(CLUSTER, { name: 'dc' }, { version: 'cds-v1' })],
    warmingClusters: () => [fact(CLUSTER, { name: 'wc' }, { version: 'cds-v2' })],
    activeListeners: () => [listener],
    warmingListeners: () => [fact(LISTENER, { name: 'wl' }, { version: 'v2' })],
    drainingListeners: () => [fact(LISTENER, { name: 'dl' }, { version: 'v0' })],
    listenerFailures: () => [{ name: 'dl', failed: listener, attempted: at, details: 'no good' }],
    dynamicRoutes: () => [fact('envoy.config.route.v3.RouteConfiguration', { name: 'r' }, { version: 'rds-v1' })],
    warmingSecrets: () => [{ name: 'kubernetes://x', updated: at }],
  })
  const [, clusters, listeners, , routes, secrets] = configs((await dump('', of)).body)
  t.match(clusters, {
    version_info: 'cds-v1',
    dynamic_active_clusters: [{ version_info: 'cds-v1', cluster: { name: 'dc' } }],
    dynamic_warming_clusters: [{ version_info: 'cds-v2', cluster: { name: 'wc' } }],
  })
  t.match(listeners, {
    version_info: 'lds-v1',
    dynamic_listeners: [
      {
        name: 'dl',
        active_state: { version_info: 'v1', listener: { name: 'dl' } },
        draining_state: { version_info: 'v0' },
        error_state: { details: 'no good', last_update_attempt: '2026-11-21T00:59:51.791Z' },
      },
      { name: 'wl', warming_state: { version_info: 'v2' } },
      { name: undefined, error_state: { failed_configuration: { name: 'dl' }, details: 'no good' } },
    ],
  })
  t.match(routes, { dynamic_route_configs: [{ version_info: 'rds-v1', route_config: { name: 'r' } }] })
  t.match(secrets, {
    dynamic_warming_secrets: [
      { name: 'kubernetes://x', version_info: 'uninitialized', secret: { name: 'kubernetes://x' } },
    ],
  })
})

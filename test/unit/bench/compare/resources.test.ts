import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readConfigDump } from '../../../../bench/compare/config-dump.ts'
import { CompareError } from '../../../../bench/compare/options.ts'
import { nameOf, readResourceSet } from '../../../../bench/compare/resources.ts'

const CONFIG = 'type.googleapis.com/envoy.config'
const ADMIN = 'type.googleapis.com/envoy.admin.v3'
const SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
const PUSHES = join(import.meta.dirname, '../../../fixtures/istio/pushes')
const cluster = (name: string) => ({ '@type': `${CONFIG}.cluster.v3.Cluster`, name })
const listener = (name: string) => ({ '@type': `${CONFIG}.listener.v3.Listener`, name })

const DUMP = {
  configs: [
    { '@type': `${ADMIN}.BootstrapConfigDump`, bootstrap: { node: { id: 'n' } } },
    {
      '@type': `${ADMIN}.ClustersConfigDump`,
      static_clusters: [{ cluster: cluster('fixed') }],
      dynamic_active_clusters: [{ cluster: cluster('a') }],
      dynamic_warming_clusters: [{ cluster: cluster('a') }, { cluster: cluster('b') }],
    },
    {
      '@type': `${ADMIN}.ListenersConfigDump`,
      dynamic_listeners: [
        {
          name: 'both',
          active_state: { listener: { ...listener('both'), stat_prefix: 'active' } },
          warming_state: { listener: listener('both') },
        },
        { name: 'late', warming_state: { listener: listener('late') } },
        { name: 'refused', error_state: { failed_configuration: listener('refused') } },
      ],
    },
    {
      '@type': `${ADMIN}.SecretsConfigDump`,
      dynamic_active_secrets: [{ name: 's', secret: { '@type': SECRET, name: 's', tls_certificate: {} } }],
      dynamic_warming_secrets: [{ name: 'w', secret: { '@type': SECRET, name: 'w' } }],
    },
    {
      '@type': `${ADMIN}.ScopedRoutesConfigDump`,
      dynamic_scoped_route_configs: [
        { scoped_route_configs: [{ '@type': `${CONFIG}.route.v3.ScopedRouteConfiguration`, name: 'sc' }] },
      ],
    },
  ],
}

t.test('a dump gives its bootstrap and what came by discovery, once each, as it is in use', t => {
  const dump = readConfigDump(DUMP)!
  t.same(dump.bootstrap, { node: { id: 'n' } })
  t.same(dump.resources.map(nameOf), ['a', 'b', 'both', 'late', 's', 'sc'])
  t.equal(dump.resources[2]!['stat_prefix'], 'active')
  t.equal(dump.hasEndpoints, false)
  const type = `${CONFIG}.endpoint.v3.ClusterLoadAssignment`
  const localities = [{ load_balancing_weight: 0, priority: 1 }, { load_balancing_weight: 3 }]
  const endpoint_config = { '@type': type, cluster_name: 'e', endpoints: localities }
  const endpoints = { '@type': `${ADMIN}.EndpointsConfigDump`, dynamic_endpoint_configs: [{ endpoint_config }] }
  const full = readConfigDump({ configs: [...DUMP.configs, endpoints] })!
  t.equal(full.hasEndpoints, true)
  t.same(full.resources.find(one => nameOf(one) === 'e')!['endpoints'], [{ priority: 1 }, { load_balancing_weight: 3 }])
  t.equal(readConfigDump({ resources: [] }), null)
  t.end()
})

t.test('lists of resources as Envoy reads them from files, wrapped ones too, and all of a folder', t => {
  const folder = t.testdir({
    'a.yaml': `resources: [{"@type": ${CONFIG}.cluster.v3.Cluster, name: a}]`,
    'b.json': JSON.stringify({
      resources: [
        { '@type': 'type.googleapis.com/envoy.service.discovery.v3.Resource', name: 'x', resource: listener('l') },
        { '@type': `${CONFIG}.endpoint.v3.ClusterLoadAssignment`, cluster_name: 'a' },
      ],
    }),
    'c.yaml': `{resources: [{"@type": ${CONFIG}.cluster.v3.Cluster, name: in-braces}]}`,
    '.hidden.yaml': 'x',
    'README.md': 'x',
    empty: {},
  })
  t.same(readResourceSet(folder).resources.map(nameOf), ['a', 'l', 'a', 'in-braces'])
  t.equal(readResourceSet(`${folder}/a.yaml`).hasEndpoints, true)
  t.throws(() => readResourceSet(`${folder}/empty`), { message: /no \.json, \.yaml, \.pb or \.pb\.gz/ })
  t.throws(() => readResourceSet(`${folder}/none`), CompareError)
  t.end()
})

t.test('what a real istiod pushed, of either protocol, as it was on the wire', t => {
  const delta = readResourceSet(join(PUSHES, 'default-sleep'))
  const sotw = readResourceSet(join(PUSHES, 'default-sleep-sotw'))
  for (const set of [delta, sotw]) {
    const types = new Set(set.resources.map(one => String(one['@type']).split('.').at(-1)))
    t.same([...types].sort(), ['Cluster', 'ClusterLoadAssignment', 'Listener', 'RouteConfiguration'])
    t.match(set.notes.join(), /NDS\.pb\.gz: proxies do not ask for istio\.networking\.nds\.v1\.NameTable/)
  }
  t.ok(delta.resources.some(one => nameOf(one) === 'virtualInbound'))
  t.end()
})

t.test('what is no resource says where it is', t => {
  const pb = readFileSync(join(PUSHES, 'default-sleep/CDS.pb.gz'))
  const folder = t.testdir({
    'type.yaml': 'resources: [{"@type": a.B, name: x}]',
    'untyped.yaml': 'resources: [{name: x}]',
    'nameless.yaml': `resources: [{"@type": ${CONFIG}.cluster.v3.Cluster}]`,
    'list.yaml': '[]',
    'broken.json': '{"a',
    'broken.pb': pb.subarray(0, 50).toString('latin1'),
    'broken.pb.gz': 'x',
  })
  for (const [file, message] of [
    ['type.yaml', /type\.yaml, resource 1: "@type" "a\.B"; use one of/],
    ['untyped.yaml', /resource 1: "@type" is missing/],
    ['nameless.yaml', /resource 1: it has no name/],
    ['list.yaml', /neither a config_dump/],
    ['broken.json', /broken\.json: /],
    ['broken.pb', /broken\.pb: no discovery response/],
    ['broken.pb.gz', /broken\.pb\.gz: /],
  ] as const) {
    t.throws(() => readResourceSet(`${folder}/${file}`), { name: 'CompareError', message }, file)
  }
  t.end()
})

import t from 'tap'
import { parseMask, trimMessage, trimResource } from '../../../src/admin/field-mask.ts'
import { messageType } from '../../../src/config/descriptors.ts'

const NODE = messageType('envoy.config.core.v3.Node')
const node = { id: 'i', cluster: 'c', locality: { region: 'r', zone: 'z' }, client_features: ['f'] }

t.test('a mask keeps what it names', t => {
  t.same(trimMessage(NODE, node, ['id', 'locality.zone']), { id: 'i', locality: { zone: 'z' } })
  t.same(trimMessage(NODE, node, ['client_features']), { client_features: ['f'] })
  t.same(trimMessage(NODE, node, []), node)
  t.end()
})

t.test('a whole field covers its parts, in either order', t => {
  const whole = { locality: { region: 'r', zone: 'z' } }
  t.same(trimMessage(NODE, node, ['locality', 'locality.zone']), whole)
  t.same(trimMessage(NODE, node, ['locality.zone', 'locality']), whole)
  t.end()
})

t.test('paths that the type has not, or that lead through lists and maps, are refused', t => {
  for (const path of ['nope', 'locality.nope', 'id.x', 'client_features.x', 'metadata.a', 'constructor']) {
    t.equal(trimMessage(NODE, node, [path]), null, path)
  }
  t.end()
})

t.test('in a dump element a path goes on inside the packed resource', t => {
  const type = messageType('envoy.admin.v3.ClustersConfigDump.StaticCluster')
  const cluster = {
    type_url: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
    message: { name: 'a', alt_stat_name: 'b' },
  }
  const element = { cluster, last_updated: 1 }
  t.same(trimResource(type, element, ['cluster.name']), { cluster: { ...cluster, message: { name: 'a' } } })
  t.same(trimResource(type, element, ['cluster']), { cluster })
  t.same(trimResource(type, element, ['last_updated']), { last_updated: 1 })
  t.equal(trimResource(type, element, ['cluster.nope']), null)
  t.end()
})

t.test('text form', t => {
  t.same(parseMask('a.b,c'), ['a.b', 'c'])
  t.same(parseMask(''), [])
  t.end()
})

import t from 'tap'
import { asksForMore, maxDownstreamConnections } from '../../../src/server/downstream-limit.ts'

const monitor = (type: string, message: object) => ({
  name: type,
  typed_config: { type_url: `type.googleapis.com/envoy.extensions.resource_monitors.${type}`, message } as never,
})
const LIMIT = monitor('downstream_connections.v3.DownstreamConnectionsConfig', {
  max_active_downstream_connections: 5n,
})
const HEAP = monitor('fixed_heap.v3.FixedHeapConfig', { max_heap_size_bytes: 1n })

t.test('the limit is what the resource monitor says; without one there is none', async t => {
  t.equal(maxDownstreamConnections(undefined), 0)
  t.equal(maxDownstreamConnections({ resource_monitors: [HEAP] }), 0)
  t.equal(maxDownstreamConnections({ resource_monitors: [HEAP, LIMIT] }), 5)
})

t.test('anything else that the overload manager is asked for has no effect, and that is known', async t => {
  t.equal(asksForMore({ resource_monitors: [LIMIT] }), false)
  t.equal(asksForMore({ resource_monitors: [LIMIT, HEAP] }), true)
  t.equal(asksForMore({ resource_monitors: [LIMIT], actions: [{ name: 'a' }] }), true)
})

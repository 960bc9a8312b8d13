import t from 'tap'
import { StatsStore } from '../../../src/stats/store.ts'
import type { AssignmentConfig } from '../../../src/upstream/cluster-config.ts'
import { AssignmentCache, EDS, EndpointsListener } from '../../../src/xds/resources/eds.ts'
import { XdsResource } from '../../../src/xds/resources/xds-resource.ts'
import { encode, lenient } from './fakes.ts'

function follow(cache: AssignmentCache) {
  const stats = new StatsStore()
  const events: string[] = []
  const taker = {
    onAssignment: (assignment: AssignmentConfig) => {
      events.push(assignment.localities.flatMap(l => l.hosts.map(h => h.address.text)).join(' '))
    },
    onFailure: () => void events.push('none'),
  }
  cache.use('a')
  const listener = new EndpointsListener(taker, 'a', cache, stats.counter('assignment_use_cached'), () => {})
  return { listener, events, stats }
}

const address = { socket_address: { address: '127.0.0.1', port_value: 80 } }
const json = { cluster_name: 'a', endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] }
const resource = new XdsResource(EDS, 'a', encode(EDS, json), lenient)

t.test('a new version of a cluster takes the last assignment when no answer comes', t => {
  const cache = new AssignmentCache()
  const first = follow(cache)
  first.listener.onResource(resource)
  const second = follow(cache)
  cache.release('a')
  second.listener.onUnavailable('timeout')
  t.same(second.events, ['127.0.0.1:80'])
  t.equal(second.stats.value('assignment_use_cached'), 1)
  t.end()
})

t.test('not when the answer was refused, and not when nobody has followed the name meanwhile', t => {
  const cache = new AssignmentCache()
  const first = follow(cache)
  first.listener.onResource(resource)
  first.listener.onUnavailable('rejected')
  t.same(first.events, ['127.0.0.1:80', 'none'])
  cache.release('a')
  const later = follow(cache)
  later.listener.onUnavailable('timeout')
  t.same(later.events, ['none'])
  t.end()
})

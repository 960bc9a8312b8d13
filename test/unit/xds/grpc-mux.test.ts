import t from 'tap'
import { encodeMessage } from '../../../src/config/binary.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { GrpcMux } from '../../../src/xds/grpc-mux.ts'
import { CDS } from '../../../src/xds/resources/cds.ts'
import { EDS } from '../../../src/xds/resources/eds.ts'
import { RDS } from '../../../src/xds/resources/rds.ts'
import type { ResourceType } from '../../../src/xds/resources/type.ts'
import type { ResourceUpdate, ResourceWatcher } from '../../../src/xds/source.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { encode, FakeLog, FakePlane, greatest, lenient, short } from './fakes.ts'

class Watcher implements ResourceWatcher {
  readonly events: string[] = []
  act: (update: ResourceUpdate) => void = () => {}

  onUpdate(update: ResourceUpdate): void {
    this.events.push(`${update.version}: ${update.resources.map(r => r.name).join(' ')}`)
    this.act(update)
  }

  onRejected(text: string): void {
    this.events.push(`rejected ${text}`)
  }

  onFailure(text: string): void {
    this.events.push(`failed ${text}`)
  }
}

function setUp(more: { nodeOnFirstMessageOnly?: boolean } = {}) {
  const timers = new VirtualTimers()
  const plane = new FakePlane()
  const stats = new StatsStore()
  const log = new FakeLog()
  const mux = new GrpcMux({
    open: plane.open,
    method: 'StreamAggregatedResources',
    target: 'xds',
    node: { id: 'me' },
    nodeOnFirstMessageOnly: true,
    maxTokens: 0,
    fillRate: 10,
    retryBase: 500,
    retryMax: 30_000,
    policy: lenient,
    timers,
    random: greatest,
    stats,
    log,
    ...more,
  })
  const requests = (): string[] => plane.last.splice(0).map(short)
  return { timers, plane, stats, log, mux, requests }
}

const cluster = (name: string): object => ({ name, type: 'STATIC', connect_timeout: '1s' })
const endpoints = (name: string): object => ({ cluster_name: name })

t.test('set_node_on_first_message_only: the node is in the first request of each stream', t => {
  const { timers, plane, mux } = setUp()
  mux.start()
  mux.watch(CDS, null, new Watcher())
  mux.watch(EDS, ['a'], new Watcher())
  t.same(
    plane.last.map(r => r.node?.id),
    ['me', undefined],
  )
  plane.handler!.onClosed(14, 'away')
  timers.pass(500)
  t.same(
    plane.last.map(r => r.node?.id),
    ['me', undefined],
  )
  t.end()
})

t.test('without it the node is in every request', t => {
  const { plane, mux } = setUp({ nodeOnFirstMessageOnly: false })
  mux.start()
  mux.watch(CDS, null, new Watcher())
  mux.watch(EDS, ['a'], new Watcher())
  t.same(
    plane.last.map(r => r.node?.id),
    ['me', 'me'],
  )
  t.end()
})

t.test('watches made before the stream opens are asked for in the order of their types', t => {
  const { mux, requests } = setUp()
  mux.watch(CDS, null, new Watcher())
  mux.watch(EDS, ['b', 'a'], new Watcher())
  mux.watch(EDS, ['c'], new Watcher())
  mux.start()
  t.same(requests(), ['Cluster v= n= []', 'ClusterLoadAssignment v= n= [c a b]'])
  t.end()
})

t.test('an accepted response is ACKed after what it caused was asked for', t => {
  const { plane, stats, mux, requests } = setUp()
  mux.start()
  const clusters = new Watcher()
  clusters.act = () => void mux.watch(EDS, ['a'], new Watcher())
  mux.watch(CDS, null, clusters)
  requests()
  plane.answer(CDS, 'v1', 'n1', [cluster('a')])
  t.same(requests(), ['ClusterLoadAssignment v= n= [a]', 'Cluster v=v1 n=n1 []'])
  t.same(clusters.events, ['v1: a'])
  t.same(stats.snapshot().texts, [{ name: 'control_plane.identifier', value: 'fake' }])
  t.end()
})

t.test("a rejected response is NACKed with Envoy's code and keeps the version", t => {
  const { plane, mux, requests } = setUp()
  mux.start()
  const clusters = new Watcher()
  mux.watch(CDS, null, clusters)
  plane.answer(CDS, 'v1', 'n1', [cluster('a')])
  clusters.act = () => {
    throw new Error('not this one')
  }
  requests()
  plane.answer(CDS, 'v2', 'n2', [cluster('b')])
  t.same(requests(), ['Cluster v=v1 n=n2 [] ! 13 not this one'])
  t.same(clusters.events, ['v1: a', 'v2: b', 'rejected not this one'])
  t.end()
})

t.test('the text of a NACK is cut at 4096 characters', t => {
  const { plane, mux } = setUp()
  mux.start()
  const clusters = new Watcher()
  clusters.act = () => {
    throw new Error('x'.repeat(5000))
  }
  mux.watch(CDS, null, clusters)
  plane.answer(CDS, 'v1', 'n1', [])
  t.equal(plane.last.at(-1)?.error_detail?.message, `${'x'.repeat(4096)}...(truncated)`)
  t.end()
})

t.test('partial types: a watch hears only of responses that have its names', t => {
  const { plane, mux } = setUp()
  mux.start()
  const a = new Watcher()
  const b = new Watcher()
  mux.watch(EDS, ['a'], a)
  mux.watch(EDS, ['b'], b)
  plane.answer(EDS, 'v1', 'n1', [endpoints('a'), endpoints('stranger')])
  plane.answer(EDS, 'v2', 'n2', [])
  t.same(a.events, ['v1: a'])
  t.same(b.events, [])
  t.end()
})

t.test('of two resources of one name the first counts', t => {
  const { plane, mux } = setUp()
  mux.start()
  const a = new Watcher()
  let bytes: Uint8Array = new Uint8Array(0)
  a.act = update => {
    bytes = update.resources[0]!.bytes
  }
  mux.watch(EDS, ['a'], a)
  plane.answer(EDS, 'v1', 'n1', [endpoints('a'), { cluster_name: 'a', endpoints: [{}] }])
  t.same(Buffer.from(bytes), Buffer.from(encode(EDS, endpoints('a'))))
  t.end()
})

t.test('the first watch that refuses ends it, and all of the type are told (as Envoy)', t => {
  const { plane, mux, requests } = setUp()
  mux.start()
  const watchers = ['a', 'b', 'c'].map(name => {
    const watcher = new Watcher()
    mux.watch(RDS, [name], watcher)
    return watcher
  })
  watchers[1]!.act = () => {
    throw new Error('bad b')
  }
  requests()
  plane.answer(
    RDS,
    'v1',
    'n1',
    ['a', 'b', 'c'].map(name => ({ name })),
  )
  t.same(
    watchers.map(w => w.events),
    [['rejected bad b'], ['v1: b', 'rejected bad b'], ['v1: c', 'rejected bad b']],
  )
  t.same(requests(), ['RouteConfiguration v= n=n1 [c b a] ! 13 bad b'])
  t.end()
})

t.test('a message that breaks a rule of its fields refuses the response before any watch hears of it', t => {
  const { plane, mux, requests } = setUp()
  mux.start()
  const a = new Watcher()
  mux.watch(EDS, ['a'], a)
  requests()
  plane.answer(EDS, 'v1', 'n1', [endpoints('a'), { cluster_name: 'b', endpoints: [{ priority: 200 }] }])
  t.match(a.events, [/^rejected /])
  t.match(requests(), [/13 Proto constraint validation failed .*Priority: value must be less than or equal to 128/])
  t.end()
})

t.test('malformed bytes are a NACK, never an exception', t => {
  const { plane, mux, log } = setUp()
  mux.start()
  mux.watch(CDS, null, new Watcher())
  mux.watch(EDS, ['a'], new Watcher())
  const value = Uint8Array.of(0x0a, 0x7f, 0x01)
  const response = {
    version_info: 'v',
    nonce: 'n',
    type_url: EDS.typeUrl,
    resources: [{ type_url: EDS.typeUrl, value }],
  }
  plane.handler!.onMessage(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', response))
  t.match(
    plane.last.at(-1)?.error_detail?.message,
    /^Unable to unpack as envoy.config.endpoint.v3.ClusterLoadAssignment: truncated field/,
  )
  const sent = plane.last.length
  plane.handler!.onMessage(Uint8Array.of(0xff, 0xff))
  t.equal(plane.last.length, sent, 'nothing that could be answered')
  t.match(log.lines.at(-1), /not a DiscoveryResponse/)
  t.end()
})

t.test('a resource of another type refuses the response', t => {
  const { plane, mux } = setUp()
  mux.start()
  mux.watch(CDS, null, new Watcher())
  const resources = [{ type_url: EDS.typeUrl, value: new Uint8Array(0) }]
  const response = { version_info: 'v', nonce: 'n', type_url: CDS.typeUrl, resources }
  plane.handler!.onMessage(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', response))
  t.match(
    plane.last.at(-1)?.error_detail?.message,
    /ClusterLoadAssignment does not match the message-wide type URL .*Cluster/,
  )
  t.end()
})

t.test('resources in a Resource wrapper go by its name', t => {
  const { plane, mux } = setUp()
  mux.start()
  const a = new Watcher()
  mux.watch(EDS, ['a'], a)
  const wrapper = { name: 'a', version: '7', resource: { type_url: EDS.typeUrl, value: encode(EDS, endpoints('a')) } }
  const type: ResourceType = { ...EDS, typeUrl: 'type.googleapis.com/envoy.service.discovery.v3.Resource' }
  const value = encodeMessage('envoy.service.discovery.v3.Resource', wrapper)
  const response = {
    version_info: 'v1',
    nonce: 'n1',
    type_url: EDS.typeUrl,
    resources: [{ type_url: type.typeUrl, value }],
  }
  plane.handler!.onMessage(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', response))
  t.same(a.events, ['v1: a'])
  t.end()
})

t.test('a type that nobody ever followed is not answered', t => {
  const { plane, mux, log, requests } = setUp()
  mux.start()
  mux.watch(CDS, null, new Watcher())
  requests()
  plane.answer(RDS, 'v1', 'n1', [])
  t.same(requests(), [])
  t.match(log.lines.at(-1), /has no current subscribers/)
  t.end()
})

t.test('the end of a watch is told, and a late response without resources is accepted silently', t => {
  const { plane, mux, requests } = setUp()
  mux.start()
  const watch = mux.watch(EDS, ['a'], new Watcher())
  requests()
  watch.close()
  watch.close()
  t.same(requests(), ['ClusterLoadAssignment v= n= []'])
  plane.answer(EDS, 'v2', 'n2', [])
  t.same(requests(), [])
  plane.answer(EDS, 'v3', 'n3', [endpoints('a')])
  t.same(requests(), ['ClusterLoadAssignment v=v2 n=n3 []'], 'with resources it is not')
  t.end()
})

t.test('a pause collects requests, also of a type that nobody follows yet', t => {
  const { mux, requests } = setUp()
  mux.start()
  const resume = mux.pause(EDS.typeUrl, RDS.typeUrl)
  const again = mux.pause(EDS.typeUrl)
  mux.watch(EDS, ['a'], new Watcher())
  mux.watch(EDS, ['b'], new Watcher())
  resume()
  resume()
  t.same(requests(), [])
  again()
  t.same(requests(), ['ClusterLoadAssignment v= n= [b a]'])
  mux.watch(RDS, ['r'], new Watcher())
  t.same(requests(), ['RouteConfiguration v= n= [r]'])
  t.end()
})

t.test(
  'a lost stream is a failure for every watch; the next one asks for everything with the last good versions',
  t => {
    const { timers, plane, mux, requests } = setUp()
    mux.start()
    const clusters = new Watcher()
    const a = new Watcher()
    mux.watch(CDS, null, clusters)
    mux.watch(EDS, ['a'], a)
    plane.answer(CDS, 'c1', 'n1', [cluster('a')])
    plane.answer(EDS, 'e1', 'n2', [endpoints('a')])
    plane.handler!.onClosed(14, 'away')
    t.equal(clusters.events.at(-1), 'failed away')
    t.equal(a.events.at(-1), 'failed away')
    timers.pass(500)
    t.same(requests(), ['Cluster v=c1 n= []', 'ClusterLoadAssignment v=e1 n= [a]'])
    t.end()
  },
)

t.test('a watch that was ended while a response is handed out does not hear of it', t => {
  const { plane, mux } = setUp()
  mux.start()
  const a = new Watcher()
  const watch = mux.watch(EDS, ['a'], a)
  const b = new Watcher()
  b.act = () => watch.close()
  mux.watch(EDS, ['b'], b)
  plane.answer(EDS, 'v1', 'n1', [endpoints('a'), endpoints('b')])
  t.same(a.events, [])
  t.end()
})

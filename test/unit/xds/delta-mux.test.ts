import t from 'tap'
import { StatsStore } from '../../../src/stats/store.ts'
import { DeltaMux } from '../../../src/xds/delta-mux.ts'
import { decodeDeltaRequest, encodeDeltaResponse } from '../../../src/xds/delta-wire.ts'
import { CDS } from '../../../src/xds/resources/cds.ts'
import { EDS } from '../../../src/xds/resources/eds.ts'
import type { ResourceType } from '../../../src/xds/resources/type.ts'
import type { ResourceUpdate, ResourceWatcher } from '../../../src/xds/source.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { encode, FakeLog, FakePlane, greatest, lenient } from './fakes.ts'

class Watcher implements ResourceWatcher {
  readonly events: string[] = []
  act: (update: ResourceUpdate) => void = () => {}

  onUpdate(update: ResourceUpdate): void {
    const names = update.resources.map(r => `${r.name}@${r.version}`)
    this.events.push([update.version, ...names, ...update.removed!.map(name => `-${name}`)].join(' '))
    this.act(update)
  }

  onRejected(text: string): void {
    this.events.push(`rejected ${text}`)
  }

  onFailure(text: string): void {
    this.events.push(`failed ${text}`)
  }
}

function setUp(more: { maxTokens?: number } = {}) {
  const timers = new VirtualTimers()
  const plane = new FakePlane(true)
  const stats = new StatsStore()
  const log = new FakeLog()
  const mux = new DeltaMux({
    open: plane.open,
    method: 'DeltaAggregatedResources',
    target: 'xds',
    node: { id: 'me' },
    nodeOnFirstMessageOnly: true,
    maxTokens: 0,
    fillRate: 1,
    retryBase: 500,
    retryMax: 30_000,
    policy: lenient,
    timers,
    random: greatest,
    stats,
    log,
    ...more,
  })
  const requests = (): string[] =>
    plane.bytes.splice(0).map(bytes => {
      const { typeUrl, nonce, subscribe, unsubscribe, error, node } = decodeDeltaRequest(bytes)
      const parts = [...subscribe.map(name => `+${name}`), ...unsubscribe.map(name => `-${name}`)]
      const answer = nonce === '' ? [] : [error === null ? `ACK ${nonce}` : `NACK ${nonce} ${error}`]
      return [typeUrl.split('.').at(-1), node === null ? '' : 'node', ...answer, ...parts]
        .filter(x => x !== '')
        .join(' ')
    })
  let nonce = 0
  const send = (
    type: ResourceType,
    resources: Record<string, object | null>,
    removed: string[] = [],
    more = {},
  ): void =>
    plane.handler!.onMessage(
      encodeDeltaResponse({
        systemVersion: `s${++nonce}`,
        typeUrl: type.typeUrl,
        nonce: String(nonce),
        controlPlane: 'plane',
        resources: Object.entries(resources).map(([name, json]) => ({
          name,
          version: '1',
          aliases: [],
          ttl: null,
          body: json === null ? null : { typeUrl: type.typeUrl, bytes: encode(type, json) },
          ...more,
        })),
        removed,
      }),
    )
  return { timers, plane, stats, log, mux, requests, send }
}

const endpoints = (name: string): object => ({ cluster_name: name })

t.test('a response touches those who follow its names, and nobody else', t => {
  const { mux, send, requests, plane, stats } = setUp()
  mux.start()
  const a = new Watcher()
  const b = new Watcher()
  const both = new Watcher()
  mux.watch(EDS, ['a'], a)
  mux.watch(EDS, ['b'], b)
  const watch = mux.watch(EDS, ['a', 'b'], both)
  t.same(requests(), ['ClusterLoadAssignment node +a', 'ClusterLoadAssignment +b'])
  send(EDS, { a: endpoints('a') })
  send(EDS, {}, ['b'])
  send(EDS, { nobody: endpoints('nobody') })
  send(EDS, {})
  t.same(a.events, ['s1 a@1'])
  t.same(b.events, ['s2 -b'])
  t.same(both.events, ['s1 a@1', 's2 -b'])
  t.equal(requests().length, 4)
  watch.setNames(['b', 'c'])
  t.same(requests(), ['ClusterLoadAssignment +c'], 'a and b are wanted by others')
  watch.close()
  watch.close()
  t.same(requests(), ['ClusterLoadAssignment -c'])
  plane.handler!.onClosed(14, 'away')
  t.same(both.events.length, 2)
  t.equal(a.events.at(-1), 'failed away')
  t.equal(stats.snapshot().texts.find(x => x.name === 'control_plane.identifier')?.value, 'plane')
  t.end()
})

t.test('answers wait while their type is paused, in their order, and others pass them', t => {
  const { mux, send, requests } = setUp()
  mux.start()
  mux.watch(CDS, null, new Watcher())
  mux.watch(EDS, ['a'], new Watcher())
  requests()
  const resume = mux.pause(CDS.typeUrl)
  const again = mux.pause(CDS.typeUrl)
  send(CDS, {})
  send(EDS, {})
  send(CDS, {})
  t.same(requests(), ['ClusterLoadAssignment ACK 2'])
  again()
  again()
  t.same(requests(), [])
  resume()
  t.same(requests(), ['Cluster ACK 1', 'Cluster ACK 3'])
  t.end()
})

t.test('one broken resource refuses the response before anybody is told', t => {
  const { mux, send, requests, log } = setUp()
  mux.start()
  const a = new Watcher()
  const b = new Watcher()
  mux.watch(EDS, ['a'], a)
  mux.watch(EDS, ['b'], b)
  requests()
  send(EDS, { a: endpoints('a'), b: { cluster_name: 'b', endpoints: [{ priority: 200 }] } })
  t.match(a.events, [/^rejected Proto constraint validation failed/])
  t.match(b.events, [/^rejected /])
  t.match(requests(), [/NACK 1 .*Priority.*; at ClusterLoadAssignment 'b': endpoints\[0\]/])
  t.match(log.lines, [/^warning delta config for .*ClusterLoadAssignment rejected: /])
  t.end()
})

t.test('the watcher of a resource that is taken over may end other watches', t => {
  const { mux, send } = setUp()
  mux.start()
  const a = new Watcher()
  const b = new Watcher()
  a.act = () => watch.close()
  mux.watch(EDS, ['a'], a)
  const watch = mux.watch(EDS, ['b'], b)
  send(EDS, { a: endpoints('a'), b: endpoints('b') })
  t.same(a.events.length, 1)
  t.same(b.events, [])
  t.end()
})

t.test('an alias that leads nowhere is no resource', t => {
  const { mux, send, requests } = setUp()
  mux.start()
  const a = new Watcher()
  mux.watch(CDS, null, a)
  requests()
  send(CDS, { x: null }, [], { aliases: ['y'] })
  t.same(a.events, [])
  t.same(requests(), ['Cluster ACK 1'])
  t.end()
})

t.test('a time to live ends when the resource is removed or not followed any more', t => {
  const { mux, send, timers } = setUp()
  mux.start()
  const a = new Watcher()
  const watch = mux.watch(EDS, ['a', 'b', 'c'], a)
  send(EDS, { a: endpoints('a'), b: endpoints('b'), c: endpoints('c') }, [], { ttl: 1000 })
  send(EDS, {}, ['a'])
  watch.setNames(['a', 'b'])
  timers.pass(900)
  t.equal(a.events.length, 2)
  timers.pass(200)
  t.same(a.events.slice(2), [' -b'])
  t.end()
})

t.test('the rate limit holds answers back, and pending_requests counts them', t => {
  const { mux, send, requests, timers, stats } = setUp({ maxTokens: 1 })
  mux.start()
  mux.watch(CDS, null, new Watcher())
  send(CDS, {})
  t.same(requests(), ['Cluster node'])
  t.equal(stats.value('control_plane.pending_requests'), 1)
  timers.pass(1100)
  t.same(requests(), ['Cluster ACK 1'])
  t.equal(stats.value('control_plane.pending_requests'), 0)
  t.end()
})

t.test('bytes that are no response are not answered', t => {
  const { mux, plane, requests, log } = setUp()
  mux.start()
  mux.watch(CDS, null, new Watcher())
  requests()
  plane.handler!.onMessage(Uint8Array.from([0x0a, 0x7f]))
  t.same(requests(), [])
  t.match(log.lines, [/not a DeltaDiscoveryResponse/])
  t.end()
})

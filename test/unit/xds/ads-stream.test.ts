import t from 'tap'
import { StatsStore } from '../../../src/stats/store.ts'
import { AdsStream, type StreamUser } from '../../../src/xds/ads-stream.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { FakeLog, FakePlane, greatest } from './fakes.ts'

function setUp(more: { maxTokens?: number; fillRate?: number } = {}) {
  const timers = new VirtualTimers()
  const plane = new FakePlane()
  const stats = new StatsStore()
  const log = new FakeLog()
  const events: string[] = []
  let waiting: string[] = []
  const user: StreamUser = {
    onStreamOpened: () => void events.push('opened'),
    onMessage: () => void events.push('message'),
    onStreamLost: text => {
      waiting = []
      events.push(`lost ${text}`)
    },
    hasRequest: () => waiting.length > 0,
    waitingRequests: () => waiting.length,
    takeRequest: () => {
      events.push(`request ${waiting.shift()}`)
      return new Uint8Array(0)
    },
  }
  const stream = new AdsStream(
    {
      open: plane.open,
      method: 'StreamAggregatedResources',
      target: 'xds',
      maxTokens: 0,
      fillRate: 10,
      retryBase: 500,
      retryMax: 30_000,
      timers,
      random: greatest,
      stats,
      log,
      ...more,
    },
    user,
  )
  const queue = (what: string): void => {
    waiting.push(what)
    stream.flush()
  }
  return { timers, plane, stats, log, events, stream, queue }
}

t.test('back-off doubles from 500 ms to 30 s and begins anew with the first message', t => {
  const { timers, plane, stream } = setUp()
  stream.start()
  const waits: number[] = []
  for (let i = 0; i < 9; i++) {
    const streams = plane.streams.length
    plane.handler!.onClosed(14, 'away')
    let waited = 0
    while (plane.streams.length === streams) {
      timers.pass(1)
      waited++
    }
    waits.push(waited)
  }
  for (const [i, cap] of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000].entries()) {
    t.ok(waits[i]! <= cap, `${waits[i]} ms of at most ${cap}`)
    t.ok(waits[i]! > cap / 2, 'the full range is used')
  }
  plane.handler!.onMessage(new Uint8Array(0))
  plane.handler!.onClosed(14, 'away')
  const streams = plane.streams.length
  timers.pass(500)
  t.equal(plane.streams.length, streams + 1)
  t.end()
})

t.test('connected_state follows the stream', t => {
  const { timers, plane, stats, stream } = setUp()
  t.equal(stats.value('control_plane.connected_state'), 0)
  stream.start()
  t.equal(stats.value('control_plane.connected_state'), 1)
  plane.handler!.onClosed(14, 'away')
  t.equal(stats.value('control_plane.connected_state'), 0)
  timers.pass(500)
  t.equal(stats.value('control_plane.connected_state'), 1)
  stream.close()
  t.equal(stats.value('control_plane.connected_state'), 0)
  t.equal(plane.closed, 1)
  t.end()
})

t.test('a rate limit lets max_tokens through at once and then fill_rate a second', t => {
  const { timers, stats, events, stream, queue } = setUp({ maxTokens: 2, fillRate: 4 })
  stream.start()
  for (const type of ['a', 'b', 'c', 'd']) queue(type)
  t.same(events, ['opened', 'request a', 'request b'])
  t.equal(stats.value('control_plane.pending_requests'), 2)
  t.ok(stats.value('control_plane.rate_limit_enforced') > 0)
  timers.pass(249)
  t.equal(events.length, 3)
  timers.pass(2)
  t.equal(events.at(-1), 'request c')
  timers.pass(251)
  t.equal(events.at(-1), 'request d')
  t.equal(stats.value('control_plane.pending_requests'), 0)
  t.end()
})

t.test('what waits for the rate limit is dropped with its stream', t => {
  const { timers, plane, stats, events, stream, queue } = setUp({ maxTokens: 1, fillRate: 1 })
  stream.start()
  queue('a')
  queue('b')
  plane.handler!.onClosed(14, 'away')
  t.equal(stats.value('control_plane.pending_requests'), 0)
  timers.pass(5000)
  t.notOk(events.includes('request b'))
  t.end()
})

t.test('without a stream nothing is sent', t => {
  const { events, stream, queue } = setUp()
  t.equal(stream.available, false)
  queue('a')
  t.same(events, [])
  t.end()
})

t.test('late events of an earlier stream are dropped', t => {
  const { timers, plane, events, stream } = setUp()
  stream.start()
  const first = plane.handler!
  first.onClosed(14, 'away')
  timers.pass(500)
  const before = events.length
  first.onClosed(14, 'again')
  first.onMessage(new Uint8Array(0))
  t.equal(events.length, before)
  t.end()
})

t.test('a closed stream does not come back', t => {
  const { timers, plane, stream } = setUp()
  stream.start()
  plane.handler!.onClosed(14, 'away')
  stream.close()
  timers.pass(60_000)
  t.equal(plane.streams.length, 1)
  t.end()
})

t.test('a control plane that is away is worth a warning after 30 s only, other statuses at once', t => {
  const { timers, plane, log, stream } = setUp()
  stream.start()
  const fail = (status: number, text: string): void => plane.handler!.onClosed(status, text)
  fail(14, 'refused')
  t.match(log.lines.at(-1), /^debug StreamAggregatedResources gRPC config stream to xds closed: 14, refused/)
  timers.pass(31_000)
  fail(14, 'refused')
  t.equal(
    log.lines.at(-1),
    'warning StreamAggregatedResources gRPC config stream to xds closed since 31s ago: 14, refused',
  )
  timers.pass(31_000)
  fail(16, 'who are you')
  t.equal(log.lines.at(-1), 'warning StreamAggregatedResources gRPC config stream to xds closed: 16, who are you')
  t.end()
})

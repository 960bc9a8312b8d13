import t from 'tap'
import type { DatagramSocket } from '../../../../src/io/datagram-socket.ts'
import { taggedName } from '../../../../src/stats/explicit-tags.ts'
import { SampleRing } from '../../../../src/stats/sample-ring.ts'
import { SampledHistogram, Slab, SlabHistogram } from '../../../../src/stats/slab.ts'
import { TagExtractor } from '../../../../src/stats/tags.ts'
import { CounterDeltas } from '../../../../src/telemetry/stats-sinks/counter-deltas.ts'
import { StatsdLines } from '../../../../src/telemetry/stats-sinks/statsd/lines.ts'
import { StatsdPackets } from '../../../../src/telemetry/stats-sinks/statsd/packets.ts'

const counter = (name: string, total: number) => ({ name, total, value: total, used: true })

class Sent implements DatagramSocket {
  readonly datagrams: string[] = []

  send(data: Uint8Array, size: number): void {
    this.datagrams.push(Buffer.from(data.subarray(0, size)).toString())
  }
}

function packed(maxBytes: number, lines: readonly string[]): string[] {
  const socket = new Sent()
  const packets = new StatsdPackets(socket, maxBytes)
  for (const line of lines) packets.add(line)
  packets.flush()
  return socket.datagrams
}

t.test('without a limit every line is a datagram', async t => {
  t.strictSame(packed(0, ['a:1|c', 'b:2|g']), ['a:1|c', 'b:2|g'])
})

t.test('lines share a datagram up to the limit, newline included', async t => {
  t.strictSame(packed(11, ['a:1|c', 'b:2|g', 'c:3|c']), ['a:1|c\nb:2|g', 'c:3|c'])
  t.strictSame(packed(10, ['a:1|c', 'b:2|g']), ['a:1|c', 'b:2|g'])
})

t.test('a line as long as the limit goes alone, ahead of what waits', async t => {
  t.strictSame(packed(8, ['a:1|c', 'long:1|c', 'b:2|g']), ['long:1|c', 'a:1|c', 'b:2|g'])
})

t.test('lengths are bytes, not characters', async t => {
  t.strictSame(packed(11, ['ä:1|c', 'b:2|g']), ['ä:1|c', 'b:2|g'])
})

t.test('deltas start at what a counter has, and start anew with the stat', async t => {
  const deltas = new CounterDeltas()
  t.strictSame(deltas.take([counter('a', 3)]), [3])
  t.strictSame(deltas.take([counter('a', 5), counter('b', 1)]), [2, 1])
  t.strictSame(deltas.take([counter('a', 2), counter('b', 1)]), [2, 0])
})

t.test('tags that were given with a stat become tags of its samples, or parts of its name', async t => {
  const raw = taggedName('istio_request_duration', ['app', 'web', 'empty', ''])
  const tags = new TagExtractor(true)
  const dog = { after: 'value', start: '|#', assign: ':', separator: ',' } as const
  t.equal(
    new StatsdLines({ prefix: 'envoy', tags: dog }, tags).sample(raw, 12.7),
    'envoy.istio_request_duration:12|ms|#app:web,empty:',
  )
  t.equal(
    new StatsdLines({ prefix: 'p', tags: null }, tags).sample(raw, 3),
    'p.istio_request_duration.app.web.empty:3|ms',
  )
})

t.test('a gauge with all 64 bits is sent as it is', async t => {
  const lines: string[] = []
  const gauges = [{ name: 'version', value: 1e19, exact: 12345678901234567890n, used: true }]
  new StatsdLines({ prefix: 'envoy', tags: null }, new TagExtractor(true)).flush(
    { counters: [], gauges, histograms: [], at: 0 },
    line => lines.push(line),
  )
  t.strictSame(lines, ['envoy.version:12345678901234567890|g'])
})

t.test('histograms are sampled only for a sink that wants it, and only those that exist', async t => {
  const plain = new Slab(() => {}).histogram('a')
  t.ok(plain instanceof SlabHistogram)
  const ring = new SampleRing(
    () => {},
    name => name !== 'rejected',
  )
  const slab = new Slab(() => {}, ring)
  t.ok(slab.histogram('a') instanceof SampledHistogram)
  t.ok(slab.histogram('rejected') instanceof SlabHistogram)
})

t.test('samples of a turn are taken together, in order, and what is beyond the bound is counted', async t => {
  const taken: [number, number, number][] = []
  const ring = new SampleRing(
    r => taken.push([r.count, r.values[r.count - 1]!, r.dropped]),
    () => true,
  )
  const histogram = new SampledHistogram('a', ring)
  histogram.record(1)
  histogram.record(2)
  t.equal(taken.length, 0, 'not before the turn ends')
  ring.drain()
  for (let i = 0; i < 16_386; i++) histogram.record(i)
  ring.drain()
  ring.drain()
  t.strictSame(taken, [
    [2, 2, 0],
    [16_384, 16_383, 2],
  ])
  t.equal(histogram.bins.count, 16_388, 'bins keep all')
})

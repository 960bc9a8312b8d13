import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { NamedResource } from '../../../src/xds/resources/named.ts'
import { RDS } from '../../../src/xds/resources/rds.ts'
import { XdsResource } from '../../../src/xds/resources/xds-resource.ts'
import type { ResourceSource, ResourceWatcher } from '../../../src/xds/source.ts'
import { SubscriptionStats } from '../../../src/xds/watcher-stats.ts'
import { XdsSubscription } from '../../../src/xds/xds-subscription.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { encode, lenient } from './fakes.ts'

class Source implements ResourceSource {
  countsStart = true
  watcher: ResourceWatcher | null = null
  closed = false

  watch(_type: unknown, _names: unknown, watcher: ResourceWatcher) {
    this.watcher = watcher
    return {
      setNames: () => {},
      close: () => {
        this.closed = true
      },
    }
  }
}

const routes = (version = '1'): XdsResource => new XdsResource(RDS, 'r', encode(RDS, { name: 'r' }), lenient, version)

function setUp(fetchTimeout: number, countsStart = true) {
  const timers = new VirtualTimers()
  const stats = new StatsStore()
  const source = new Source()
  source.countsStart = countsStart
  const events: string[] = []
  let refuse = false
  const resource = new NamedResource(
    {
      onResource: ({ name }, version) => {
        if (refuse) throw new ConfigError('CONFIG_INVALID', 'x', 'no')
        events.push(`${name} ${version}`)
      },
      onUnavailable: why => void events.push(why),
    },
    true,
  )
  const subscription = new XdsSubscription(
    timers,
    timers.clock,
    new SubscriptionStats(stats, 'p.', timers.clock),
    resource,
  )
  subscription.start(source, RDS, ['r'], fetchTimeout)
  const count = (name: string): number => stats.value(`p.${name}`)
  const refuseNow = (): void => {
    refuse = true
  }
  return { timers, stats, source, events, subscription, count, refuseNow }
}

t.test('an update counts, and version is the hash of version_info', t => {
  const { stats, source, events, count } = setUp(0)
  t.equal(count('update_attempt'), 1)
  source.watcher!.onUpdate({ version: 'c1', resources: [routes('c1')] })
  t.same(events, ['r c1'])
  t.equal(count('update_attempt'), 2)
  t.equal(count('update_success'), 1)
  t.equal(count('version'), Number(814672407442807801n), 'as the real Envoy printed it for c1')
  t.same(stats.snapshot().texts, [{ name: 'p.version_text', value: 'c1' }])
  stats.flushHistograms()
  t.equal(stats.snapshot().histograms[0]?.cumulative.count, 1)
  t.end()
})

t.test('the same bytes again are a success that nobody hears of', t => {
  const { source, events, count } = setUp(0)
  source.watcher!.onUpdate({ version: '1', resources: [routes()] })
  source.watcher!.onUpdate({ version: '2', resources: [routes()] })
  t.same(events, ['r 1'])
  t.equal(count('update_success'), 2)
  t.end()
})

t.test('what was refused is judged again when it comes again', t => {
  const { source, count, refuseNow } = setUp(0)
  refuseNow()
  const update = { version: '1', resources: [routes()] }
  t.throws(() => source.watcher!.onUpdate(update))
  t.throws(() => source.watcher!.onUpdate(update))
  t.equal(count('update_success'), 0)
  t.end()
})

t.test('initial_fetch_timeout: nobody waits longer, the subscription goes on', t => {
  const { timers, source, events, count } = setUp(15_000)
  timers.pass(14_999)
  t.same(events, [])
  timers.pass(2)
  t.same(events, ['timeout'])
  t.equal(count('init_fetch_timeout'), 1)
  source.watcher!.onUpdate({ version: '1', resources: [routes()] })
  t.same(events, ['timeout', 'r 1'])
  t.end()
})

t.test('an answer, a refusal and the end stop that timer; a broken stream does not', t => {
  const answered = setUp(1000)
  answered.source.watcher!.onUpdate({ version: '1', resources: [routes()] })
  answered.timers.pass(2000)
  t.equal(answered.count('init_fetch_timeout'), 0)
  const refused = setUp(1000)
  refused.source.watcher!.onRejected('no')
  refused.timers.pass(2000)
  t.same(refused.events, ['rejected'])
  t.equal(refused.count('init_fetch_timeout'), 0)
  t.equal(refused.count('update_rejected'), 1)
  const ended = setUp(1000)
  ended.subscription.close()
  ended.timers.pass(2000)
  t.same(ended.events, [])
  t.equal(ended.source.closed, true)
  const broken = setUp(1000)
  broken.source.watcher!.onFailure('away', true)
  t.equal(broken.count('update_failure'), 1)
  t.equal(broken.count('update_attempt'), 2)
  broken.timers.pass(2000)
  t.same(broken.events, ['timeout'])
  t.end()
})

t.test('a file that cannot be read is not waited for', t => {
  const { source, events, count } = setUp(0, false)
  t.equal(count('update_attempt'), 0)
  source.watcher!.onFailure('gone', false)
  t.same(events, ['missing'])
  source.watcher!.onUpdate({ version: '1', resources: [] })
  t.same(events, ['missing', 'missing'])
  t.equal(count('update_attempt'), 2)
  t.end()
})

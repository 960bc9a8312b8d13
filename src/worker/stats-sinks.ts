import { findFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import { statsRejector } from '../config/stats-matcher.ts'
import { isTagged, readTagged } from '../stats/explicit-tags.ts'
import { SampleRing } from '../stats/sample-ring.ts'
import { TagExtractor } from '../stats/tags.ts'
import type { StatsSender, StatsSinkFactory } from '../telemetry/stats-sinks/sink.ts'
import type { StatsSinksConfig } from './messages.ts'

/** This worker's half of the stats sinks. */
export class WorkerStatsSinks {
  /** Null: no sink wants samples, and histograms give none. */
  readonly ring: SampleRing | null
  readonly #config: StatsSinksConfig
  readonly #factories: readonly StatsSinkFactory[]
  #senders: readonly StatsSender[] = []
  #services: WorkerServices | null = null

  constructor(config: StatsSinksConfig) {
    this.#config = config
    this.#factories = config.sinks.map(sink => findFactory(sink.category, sink.typeUrl) as unknown as StatsSinkFactory)
    const rejector = statsRejector(config.matcher)
    const wants = (name: string): boolean => rejector?.(isTagged(name) ? readTagged(name).display : name) !== true
    this.ring = this.#factories.some(f => f.samples) ? new SampleRing(ring => this.#take(ring), wants) : null
  }

  /** The slab, which is among the services, needs the ring first. */
  start(services: WorkerServices): void {
    const { useDefaults, specifiers, fixed, overrides } = this.#config.tags
    const tags = new TagExtractor(useDefaults, specifiers, fixed, overrides)
    // The call-outs are made later than this; getters stay what they are.
    const own = Object.create(services, { tags: { value: tags } })
    this.#services = services
    this.#senders = this.#factories.map((factory, i) => factory.create(this.#config.sinks[i]!.config, own))
  }

  deliver(sink: number, messages: readonly Uint8Array[]): void {
    this.#senders[sink]?.send(messages)
  }

  #take({ histograms, values, count, dropped }: SampleRing): void {
    for (const sender of this.#senders) sender.samples?.(histograms, values, count)
    if (dropped > 0) this.#services?.stats.counter('statsd.samples_dropped').add(dropped)
  }
}

import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { parseStatsMatcher, statsRejector } from '../config/stats-matcher.ts'
import type { TagExtractor } from '../stats/tags.ts'
import type { StatsSinksConfig } from '../worker/messages.ts'
import { bucketsOf, tagConfig, tagExtractor } from './stats-config.ts'
import { type FlusherParts, parseStatsSinks, StatsFlusher } from './stats-flusher.ts'

/** What the bootstrap says of statistics: stats_config, stats_sinks, and when they are flushed. */
export class Statistics {
  readonly tags: TagExtractor
  /** Bounds of the buckets of a histogram. */
  readonly buckets: (name: string) => readonly number[]
  readonly flusher: StatsFlusher
  /** Null: there are no sinks. */
  readonly forWorkers: StatsSinksConfig | null
  readonly warnings: readonly string[]

  /** `fixedTags`: --stats-tag. Throws ConfigError. */
  constructor(
    bootstrap: envoy.config.bootstrap.v3.Bootstrap,
    fixedTags: readonly (readonly [string, string])[],
    parts: FlusherParts,
  ) {
    const { stats_config: config } = bootstrap
    const warnings: string[] = []
    const tags = tagConfig(config, fixedTags)
    this.tags = tagExtractor(tags)
    this.tags.explicit = parts.store.explicitTags
    this.buckets = bucketsOf(config, warnings)
    const matcher = parseStatsMatcher(
      config?.stats_matcher,
      FieldPath.root().field('stats_config').field('stats_matcher'),
    )
    parts.store.setRejector(statsRejector(matcher))
    const sinks = parseStatsSinks(bootstrap, warnings)
    this.flusher = new StatsFlusher(bootstrap, parts)
    this.flusher.use(sinks, this.tags, this.buckets)
    this.forWorkers = sinks.length === 0 ? null : { sinks, tags, matcher }
    this.warnings = warnings
  }
}

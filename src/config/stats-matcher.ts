import type { StatsRejector } from '../stats/store.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { parseStringMatcher, type StringMatchConfig } from './matcher.ts'
import { compileStringMatch } from './string-match.ts'

/** envoy.config.metrics.v3.StatsMatcher, parsed and cloneable. */
export interface StatsMatcherConfig {
  readonly rejectAll: boolean
  /** The patterns name what there is, not what there is not. */
  readonly inclusive: boolean
  readonly patterns: readonly StringMatchConfig[]
}

/** Null: there is none, all names exist. Throws ConfigError. */
export function parseStatsMatcher(
  proto: envoy.config.metrics.v3.StatsMatcher | undefined,
  at: FieldPath,
): StatsMatcherConfig | null {
  if (proto === undefined) return null
  const { inclusion_list: inclusion, exclusion_list: exclusion } = proto
  const place = at.field(inclusion === undefined ? 'exclusion_list' : 'inclusion_list').field('patterns')
  return {
    rejectAll: proto.reject_all === true,
    inclusive: inclusion !== undefined,
    patterns: ((inclusion ?? exclusion)?.patterns ?? []).map((p, i) => parseStringMatcher(p, place.index(i))),
  }
}

/** Null: all names exist. A verdict costs as many matches as there are patterns: whoever asks again keeps it. */
export function statsRejector(config: StatsMatcherConfig | null): StatsRejector | null {
  if (config === null) return null
  const { rejectAll, inclusive } = config
  if (rejectAll) return () => true
  const patterns = config.patterns.map(compileStringMatch)
  return name => patterns.some(p => p.matches(name)) !== inclusive
}

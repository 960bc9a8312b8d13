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

/** Which names exist. A name is judged once; scrapes ask for the same ones over and over. */
export function statsRejector(config: StatsMatcherConfig | null): StatsRejector {
  if (config === null) return () => false
  if (config.rejectAll) return () => true
  const patterns = config.patterns.map(compileStringMatch)
  const judged = new Map<string, boolean>()
  return name => {
    let verdict = judged.get(name)
    if (verdict === undefined) {
      verdict = patterns.some(p => p.matches(name)) !== config.inclusive
      judged.set(name, verdict)
    }
    return verdict
  }
}

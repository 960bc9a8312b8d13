import { ConfigError } from '../base/errors.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { parseStringMatcher } from '../config/matcher.ts'
import { compileStringMatch, type StringMatch } from '../config/string-match.ts'
import { BUCKETS } from '../stats/histogram.ts'
import type { StatsRejector } from '../stats/store.ts'
import { TagExtractor } from '../stats/tags.ts'

type StatsConfig = envoy.config.metrics.v3.StatsConfig
type Matchers = envoy.type.matcher.v3.ListStringMatcher

const AT = FieldPath.root().field('stats_config')

/** Throws ConfigError for a tag that has neither regex nor default. */
export function tagExtractor(
  config: StatsConfig | undefined,
  fixed: readonly (readonly [string, string])[],
): TagExtractor {
  try {
    const specifiers = (config?.stats_tags ?? []).map(tag => ({
      tag_name: tag.tag_name ?? '',
      ...(tag.regex === undefined ? {} : { regex: tag.regex }),
      ...(tag.fixed_value === undefined ? {} : { fixed_value: tag.fixed_value }),
    }))
    return new TagExtractor(config?.use_all_default_tags ?? true, specifiers, fixed)
  } catch (error) {
    throw new ConfigError('CONFIG_INVALID', AT.field('stats_tags'), (error as Error).message)
  }
}

/** stats_matcher: which names exist. A name is judged once; scrapes ask for the same ones over and over. */
export function statsRejector(config: StatsConfig | undefined): StatsRejector {
  const matcher = config?.stats_matcher
  if (matcher === undefined) return () => false
  if (matcher.reject_all === true) return () => true
  const at = AT.field('stats_matcher')
  const { inclusion_list: inclusion, exclusion_list: exclusion } = matcher
  const patterns =
    inclusion === undefined
      ? compile(exclusion, at.field('exclusion_list'))
      : compile(inclusion, at.field('inclusion_list'))
  const rejects = (name: string): boolean => patterns.some(p => p.matches(name)) !== (inclusion !== undefined)
  const judged = new Map<string, boolean>()
  return name => {
    let verdict = judged.get(name)
    if (verdict === undefined) {
      verdict = rejects(name)
      judged.set(name, verdict)
    }
    return verdict
  }
}

/** histogram_bucket_settings: the first entry that matches a name gives its buckets. */
export function bucketsOf(config: StatsConfig | undefined): (name: string) => readonly number[] {
  const settings = (config?.histogram_bucket_settings ?? []).map((setting, i) => {
    const at = AT.field('histogram_bucket_settings').index(i)
    if (setting.bins !== undefined) {
      throw new ConfigError('CONFIG_UNSUPPORTED', at.field('bins'), 'bins of native histograms are not supported')
    }
    return {
      match: compileStringMatch(parseStringMatcher(setting.match ?? {}, at.field('match'))),
      buckets: [...(setting.buckets ?? [])].sort((a, b) => a - b),
    }
  })
  return name => settings.find(s => s.buckets.length > 0 && s.match.matches(name))?.buckets ?? BUCKETS
}

function compile(list: Matchers | undefined, at: FieldPath): StringMatch[] {
  return (list?.patterns ?? []).map((p, i) => compileStringMatch(parseStringMatcher(p, at.field('patterns').index(i))))
}

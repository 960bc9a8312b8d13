import { ConfigError } from '../base/errors.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { parseStringMatcher } from '../config/matcher.ts'
import { compileStringMatch } from '../config/string-match.ts'
import { BUCKETS } from '../stats/histogram.ts'
import { type TagConfig, TagExtractor } from '../stats/tags.ts'

type StatsConfig = envoy.config.metrics.v3.StatsConfig

const AT = FieldPath.root().field('stats_config')

/** What workers make their own extractor from. */
export function tagConfig(config: StatsConfig | undefined, fixed: readonly (readonly [string, string])[]): TagConfig {
  const specifiers = (config?.stats_tags ?? []).map(tag => ({
    tag_name: tag.tag_name ?? '',
    ...(tag.regex === undefined ? {} : { regex: tag.regex }),
    ...(tag.fixed_value === undefined ? {} : { fixed_value: tag.fixed_value }),
  }))
  return {
    useDefaults: config?.use_all_default_tags ?? true,
    specifiers,
    fixed,
    overrides: config?.allow_default_tag_overrides === true,
  }
}

/** Throws ConfigError for a tag that has neither regex nor default. */
export function tagExtractor({ useDefaults, specifiers, fixed, overrides }: TagConfig): TagExtractor {
  try {
    return new TagExtractor(useDefaults, specifiers, fixed, overrides)
  } catch (error) {
    throw new ConfigError('CONFIG_INVALID', AT.field('stats_tags'), (error as Error).message)
  }
}

/** histogram_bucket_settings: the first entry that matches a name gives its buckets. */
export function bucketsOf(config: StatsConfig | undefined, warnings: string[]): (name: string) => readonly number[] {
  const settings = (config?.histogram_bucket_settings ?? []).map((setting, i) => {
    const at = AT.field('histogram_bucket_settings').index(i)
    if (setting.bins !== undefined) {
      warnings.push(`${at.field('bins')}: native histograms are not supported, it has no effect`)
    }
    return {
      match: compileStringMatch(parseStringMatcher(setting.match ?? {}, at.field('match'))),
      buckets: [...(setting.buckets ?? [])].sort((a, b) => a - b),
    }
  })
  return name => settings.find(s => s.buckets.length > 0 && s.match.matches(name))?.buckets ?? BUCKETS
}

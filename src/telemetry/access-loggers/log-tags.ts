import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { parseCustomTag } from '../../config/tracing.ts'
import type { CustomTagConfig } from '../tracing-config.ts'

/** custom_tags of an access logger. Of two with one name the last counts, where a tracer takes the first. */
export function parseLogTags(
  protos: readonly envoy.type.tracing.v3.CustomTag[] | undefined,
  at: FieldPath,
  warnings: string[],
): CustomTagConfig[] {
  const tags = (protos ?? []).map((proto, i) => parseCustomTag(proto, at.index(i), warnings))
  return [...new Map(tags.map(tag => [tag.tag, tag])).values()]
}

import type { Tags } from 'yaml'

/**
 * YAML as kubectl reads it: 1.1's words for booleans and its octal numbers, but neither timestamps nor base 60, which Go's library
 * leaves strings as well. For writing too, so that a string such as `on` is quoted.
 */
export const YAML_1_1 = {
  version: '1.1' as const,
  merge: true,
  customTags: (tags: Tags): Tags =>
    tags.filter(
      tag => typeof tag === 'string' || !(tag.tag.endsWith(':timestamp') || ('format' in tag && tag.format === 'TIME')),
    ),
}

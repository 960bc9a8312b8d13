import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from './field-path.ts'
import type { xds } from './gen/messages.d.ts'
import { parseStringMatcher, type StringMatchConfig } from './matcher.ts'
import { defineSupport, unsupportedValue } from './support.ts'

type Proto = xds.type.matcher.v3.Matcher
type OnMatchProto = xds.type.matcher.v3.Matcher_OnMatch
type PredicateProto = xds.type.matcher.v3.Matcher_MatcherList_Predicate
type TypedProto = xds.core.v3.TypedExtensionConfig

/** A cloneable xds.type.matcher.v3.Matcher. I: what is asked for; actions are names. */
export interface MatchTree<I> {
  readonly rule: MatchRule<I>
  /** Null = no match. */
  readonly otherwise: OnMatch<I> | null
}

export type MatchRule<I> =
  | { readonly kind: 'list'; readonly items: readonly { readonly when: MatchPredicate<I>; readonly on: OnMatch<I> }[] }
  | { readonly kind: 'exact' | 'prefix'; readonly input: I; readonly map: readonly (readonly [string, OnMatch<I>])[] }
  | { readonly kind: 'ip'; readonly input: I; readonly ranges: readonly IpRangeMatch<I>[] }
  | { readonly kind: 'none' }

export interface IpRangeMatch<I> {
  /** `10.0.0.0/8` */
  readonly range: string
  readonly length: number
  /** Only when it is the most specific range. */
  readonly exclusive: boolean
  readonly on: OnMatch<I>
}

export type MatchPredicate<I> =
  | { readonly kind: 'value'; readonly input: I; readonly match: StringMatchConfig }
  | { readonly kind: 'or' | 'and'; readonly of: readonly MatchPredicate<I>[] }
  | { readonly kind: 'not'; readonly of: MatchPredicate<I> }

export type OnMatch<I> = { readonly action: string } | { readonly tree: MatchTree<I> }

/** What the place of the matcher knows. They throw ConfigError. */
export interface MatchTreeTypes<I> {
  input(typed: TypedProto, at: FieldPath): I
  action(typed: TypedProto, at: FieldPath): string
}

defineSupport<Proto>('xds.type.matcher.v3.Matcher', { matcher_list: 'yes', matcher_tree: 'yes', on_no_match: 'yes' })

const MAX_DEPTH = 32
const IP_MATCHER = 'xds.type.matcher.v3.IPMatcher'

export function parseMatchTree<I>(proto: Proto, at: FieldPath, types: MatchTreeTypes<I>, depth = 0): MatchTree<I> {
  if (depth > MAX_DEPTH) throw new ConfigError('CONFIG_INVALID', at, `matchers are nested more than ${MAX_DEPTH} deep`)
  const on = (match: OnMatchProto, place: FieldPath): OnMatch<I> => {
    if (match.keep_matching === true) throw unsupportedValue(place.field('keep_matching'), 'true')
    if (match.matcher !== undefined)
      return { tree: parseMatchTree(match.matcher, place.field('matcher'), types, depth + 1) }
    if (match.action === undefined)
      throw new ConfigError('CONFIG_CONSTRAINT', place, 'field: "on_match", reason: is required')
    return { action: types.action(match.action, place.field('action')) }
  }
  const otherwise = proto.on_no_match === undefined ? null : on(proto.on_no_match, at.field('on_no_match'))
  return { rule: parseRule(proto, at, types, on), otherwise }
}

type ParseOnMatch<I> = (match: OnMatchProto, at: FieldPath) => OnMatch<I>

function parseRule<I>(proto: Proto, at: FieldPath, types: MatchTreeTypes<I>, on: ParseOnMatch<I>): MatchRule<I> {
  if (proto.matcher_list !== undefined) {
    const list = at.field('matcher_list').field('matchers')
    const items = (proto.matcher_list.matchers ?? []).map(({ predicate = {}, on_match = {} }, i) => ({
      when: parsePredicate(predicate, list.index(i).field('predicate'), types),
      on: on(on_match, list.index(i).field('on_match')),
    }))
    return { kind: 'list', items }
  }
  const tree = proto.matcher_tree
  if (tree === undefined) return { kind: 'none' }
  const here = at.field('matcher_tree')
  const input = types.input(tree.input ?? {}, here.field('input'))
  const { exact_match_map: exact, prefix_match_map: prefix } = tree
  const map = exact ?? prefix
  if (map !== undefined) {
    const place = here.field(exact === undefined ? 'prefix_match_map' : 'exact_match_map').field('map')
    const entries = Object.entries(map.map ?? {}).map(([key, match]) => [key, on(match, place.key(key))] as const)
    return { kind: exact === undefined ? 'prefix' : 'exact', input, map: entries }
  }
  return { kind: 'ip', input, ranges: parseIpRanges(tree.custom_match ?? {}, here.field('custom_match'), on) }
}

function parseIpRanges<I>(typed: TypedProto, at: FieldPath, on: ParseOnMatch<I>): IpRangeMatch<I>[] {
  const url = typed.typed_config?.type_url ?? ''
  if (!url.endsWith(`/${IP_MATCHER}`)) {
    throw unsupportedValue(at.field('typed_config'), url, 'IPMatcher is the one that is supported')
  }
  const proto = (typed.typed_config?.message ?? {}) as xds.type.matcher.v3.IPMatcher
  const found = (proto.range_matchers ?? []).flatMap((matcher, i) => {
    const place = at.field('typed_config').any().field('range_matchers').index(i)
    const match = on(matcher.on_match ?? {}, place.field('on_match'))
    return (matcher.ranges ?? []).map(({ address_prefix: ip = '', prefix_len = 0 }) => ({
      range: `${ip}/${prefix_len}`,
      length: prefix_len,
      exclusive: matcher.exclusive ?? false,
      on: match,
    }))
  })
  // The most specific comes first; of equal ones the first.
  return found.sort((a, b) => b.length - a.length)
}

function parsePredicate<I>(proto: PredicateProto, at: FieldPath, types: MatchTreeTypes<I>): MatchPredicate<I> {
  const { single_predicate: single, or_matcher: or, and_matcher: and, not_matcher: not } = proto
  if (single !== undefined) {
    const place = at.field('single_predicate')
    if (single.value_match === undefined)
      throw unsupportedValue(place.field('custom_match'), single.custom_match?.name ?? '')
    const match = parseStringMatcher(single.value_match, place.field('value_match'))
    return { kind: 'value', input: types.input(single.input ?? {}, place.field('input')), match }
  }
  const several = or ?? and
  if (several !== undefined) {
    const place = at.field(or === undefined ? 'and_matcher' : 'or_matcher').field('predicate')
    const of = (several.predicate ?? []).map((inner, i) => parsePredicate(inner, place.index(i), types))
    return { kind: or === undefined ? 'and' : 'or', of }
  }
  if (not === undefined) throw new ConfigError('CONFIG_CONSTRAINT', at, 'field: "match_type", reason: is required')
  return { kind: 'not', of: parsePredicate(not, at.field('not_matcher'), types) }
}

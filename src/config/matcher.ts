import { ConfigError } from '../base/errors.ts'
import { regexError } from '../base/regex.ts'
import { regexProgramSize, regexProgramSizeAtMost } from '../base/regex-size.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'

/** Cloneable forms of the matchers that many resources share; `string-match.ts`, `header-match.ts` and `value-match.ts` run them. */
export type StringMatchConfig =
  | {
      readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains'
      readonly text: string
      readonly ignoreCase: boolean
    }
  | { readonly kind: 'regex'; readonly text: string }

export interface HeaderMatchConfig {
  /** Lower case. */
  readonly name: string
  readonly match: StringMatchConfig | { readonly kind: 'range'; readonly start: number; readonly end: number } | null
  /** With `match` null: true = present, false = absent. */
  readonly present: boolean
  readonly invert: boolean
  readonly missingAsEmpty: boolean
}

/** Query parameter and cookie matchers: `match` null = the name must be there. */
export interface NamedMatchConfig {
  readonly name: string
  readonly match: StringMatchConfig | null
  /** With `match` null: whether the name must be there or must not. */
  readonly present: boolean
  readonly invert: boolean
}

export type ValueMatchConfig =
  | { readonly kind: 'null' }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'present'; readonly value: boolean }
  | { readonly kind: 'double'; readonly start: number; readonly end: number; readonly exact: boolean }
  | { readonly kind: 'string'; readonly match: StringMatchConfig }
  | { readonly kind: 'list'; readonly of: ValueMatchConfig }
  | { readonly kind: 'or'; readonly any: readonly ValueMatchConfig[] }

export interface MetadataMatchConfig {
  readonly filter: string
  readonly path: readonly string[]
  readonly value: ValueMatchConfig
  readonly invert: boolean
}

/** `runtime_key` '' = only the default counts. */
export interface FractionConfig {
  readonly key: string
  readonly numerator: number
  readonly denominator: number
}

type StringMatcher = envoy.type.matcher.v3.StringMatcher

/**
 * How large the program of a regex may be, by runtime `re2.max_program_size.error_level` and `.warn_level`. One setting of the
 * process, as in Envoy, which asks its runtime singleton: set once when the bootstrap is read.
 */
export const regexLimits = { error: 100, warn: Number.POSITIVE_INFINITY, tell: (_text: string): void => {} }

export function parseRegex(proto: envoy.type.matcher.v3.RegexMatcher, at: FieldPath): string {
  const pattern = proto.regex ?? ''
  const error = regexError(pattern)
  if (error !== null) throw new ConfigError('CONFIG_INVALID', at.field('regex'), error)
  checkProgramSize(pattern, proto.google_re2?.max_program_size, at)
  return pattern
}

/** The deprecated field alone counts where it is set (CompiledGoogleReMatcher). */
function checkProgramSize(pattern: string, own: number | undefined, at: FieldPath): void {
  const { error, warn, tell } = regexLimits
  const limit = own ?? Math.min(error, warn)
  if (regexProgramSizeAtMost(pattern) <= limit) return
  const size = regexProgramSize(pattern)
  if (size <= limit) return
  const text = (max: number, level: string): string =>
    `regex '${pattern}' RE2 program size of ${size} > max program size of ${max}${level}. Increase configured max program ` +
    'size if necessary.'
  if (own !== undefined) throw new ConfigError('CONFIG_INVALID', at.field('regex'), text(own, ''))
  if (size > error) {
    throw new ConfigError('CONFIG_INVALID', at.field('regex'), text(error, ' set for the error level threshold'), {
      advice: 'raise it with the runtime key re2.max_program_size.error_level (layered_runtime)',
    })
  }
  tell(text(warn, ' set for the warn level threshold'))
}

export function parseStringMatcher(proto: StringMatcher, at: FieldPath): StringMatchConfig {
  const ignoreCase = proto.ignore_case ?? false
  if (proto.safe_regex !== undefined) {
    const text = parseRegex(proto.safe_regex, at.field('safe_regex'))
    if (ignoreCase) {
      throw new ConfigError('CONFIG_INVALID', at.field('ignore_case'), 'ignore_case has no effect for safe_regex.', {
        advice: "begin the expression with '(?i)' instead",
      })
    }
    return { kind: 'regex', text }
  }
  if (proto.custom !== undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field('custom'), 'custom string matchers are not supported')
  }
  if (proto.prefix !== undefined) return text('prefix', proto.prefix, ignoreCase)
  if (proto.suffix !== undefined) return text('suffix', proto.suffix, ignoreCase)
  if (proto.contains !== undefined) return text('contains', proto.contains, ignoreCase)
  return text('exact', proto.exact ?? '', ignoreCase)
}

function text(kind: 'exact' | 'prefix' | 'suffix' | 'contains', value: string, ignoreCase: boolean): StringMatchConfig {
  return { kind, text: latin1(ignoreCase ? asciiLower(value) : value), ignoreCase }
}

export function parseHeaderMatcher(proto: envoy.config.route.v3.HeaderMatcher, at: FieldPath): HeaderMatchConfig {
  const base = {
    name: (proto.name ?? '').toLowerCase(),
    present: proto.present_match ?? true,
    invert: proto.invert_match ?? false,
    missingAsEmpty: proto.treat_missing_header_as_empty ?? false,
  }
  return { ...base, match: headerMatch(proto, at) }
}

function headerMatch(proto: envoy.config.route.v3.HeaderMatcher, at: FieldPath): HeaderMatchConfig['match'] {
  if (proto.string_match !== undefined) return parseStringMatcher(proto.string_match, at.field('string_match'))
  if (proto.exact_match !== undefined) return text('exact', proto.exact_match, false)
  if (proto.safe_regex_match !== undefined) {
    return { kind: 'regex', text: parseRegex(proto.safe_regex_match, at.field('safe_regex_match')) }
  }
  if (proto.prefix_match !== undefined) return text('prefix', proto.prefix_match, false)
  if (proto.suffix_match !== undefined) return text('suffix', proto.suffix_match, false)
  if (proto.contains_match !== undefined) return text('contains', proto.contains_match, false)
  if (proto.range_match !== undefined) {
    return { kind: 'range', start: Number(proto.range_match.start ?? 0), end: Number(proto.range_match.end ?? 0) }
  }
  return null
}

export function parseHeaderMatchers(
  protos: readonly envoy.config.route.v3.HeaderMatcher[] | undefined,
  at: FieldPath,
): HeaderMatchConfig[] {
  return (protos ?? []).map((proto, i) => parseHeaderMatcher(proto, at.index(i)))
}

export function parseQueryMatcher(proto: envoy.config.route.v3.QueryParameterMatcher, at: FieldPath): NamedMatchConfig {
  return {
    name: latin1(proto.name ?? ''),
    match: proto.string_match === undefined ? null : parseStringMatcher(proto.string_match, at.field('string_match')),
    present: proto.present_match ?? true,
    invert: false,
  }
}

export function parseCookieMatcher(proto: envoy.config.route.v3.CookieMatcher, at: FieldPath): NamedMatchConfig {
  return {
    name: latin1(proto.name ?? ''),
    match: proto.string_match === undefined ? null : parseStringMatcher(proto.string_match, at.field('string_match')),
    present: true,
    invert: proto.invert_match ?? false,
  }
}

export function parseMetadataMatcher(proto: envoy.type.matcher.v3.MetadataMatcher, at: FieldPath): MetadataMatchConfig {
  return {
    filter: proto.filter ?? '',
    path: (proto.path ?? []).map(segment => segment.key ?? ''),
    value: parseValueMatcher(proto.value ?? {}, at.field('value')),
    invert: proto.invert ?? false,
  }
}

export function parseValueMatcher(proto: envoy.type.matcher.v3.ValueMatcher, at: FieldPath): ValueMatchConfig {
  if (proto.null_match !== undefined) return { kind: 'null' }
  if (proto.bool_match !== undefined) return { kind: 'bool', value: proto.bool_match }
  if (proto.string_match !== undefined) {
    return { kind: 'string', match: parseStringMatcher(proto.string_match, at.field('string_match')) }
  }
  if (proto.double_match !== undefined) {
    const { range, exact } = proto.double_match
    if (range === undefined) return { kind: 'double', start: exact ?? 0, end: 0, exact: true }
    return { kind: 'double', start: range.start ?? 0, end: range.end ?? 0, exact: false }
  }
  if (proto.list_match !== undefined) {
    const of = parseValueMatcher(proto.list_match.one_of ?? {}, at.field('list_match').field('one_of'))
    return { kind: 'list', of }
  }
  if (proto.or_match !== undefined) {
    const inner = at.field('or_match').field('value_matchers')
    return {
      kind: 'or',
      any: (proto.or_match.value_matchers ?? []).map((v, i) => parseValueMatcher(v, inner.index(i))),
    }
  }
  return { kind: 'present', value: proto.present_match ?? false }
}

const DENOMINATORS: Readonly<Record<string, number>> = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 }

export function parseFraction(
  proto: envoy.type.v3.FractionalPercent | undefined,
  key = '',
  absent = { numerator: 0, denominator: 100 },
): FractionConfig {
  if (proto === undefined) return { key, ...absent }
  return { key, numerator: proto.numerator ?? 0, denominator: DENOMINATORS[proto.denominator ?? 'HUNDRED'] ?? 100 }
}

/** Header values and paths are latin1 strings, one char per byte: configured texts are brought to that form once. */
export function latin1(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 127) return Buffer.from(text, 'utf8').toString('latin1')
  }
  return text
}

/** absl::AsciiStrToLower: toLowerCase would also fold latin1 letters. */
export function asciiLower(text: string): string {
  // Compiled to machine code that looks at a character in a third of the time that a loop here takes.
  return UPPER.test(text) ? text.replace(/[A-Z]+/g, letters => letters.toLowerCase()) : text
}

const UPPER = /[A-Z]/

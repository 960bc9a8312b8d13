import { latin1 } from '../config/matcher.ts'
import { metadataValue } from '../config/value-match.ts'
import type { FormatContext, Formatter } from './format-context.ts'
import { compileFormat, valueText } from './formatter.ts'
import type { Span } from './tracing.ts'
import type { CustomTagConfig, TagType } from './tracing-config.ts'

/** A compiled envoy.type.tracing.v3.CustomTag (source/common/tracing/custom_tag_impl.cc). */
export interface CustomTag {
  readonly name: string
  readonly type: TagType
  /** Latin1; '' = there is none, and no tag either. */
  value(context: FormatContext): string
}

export function compileCustomTags(configs: readonly CustomTagConfig[]): CustomTag[] {
  return configs.map(compile)
}

/** Puts `tags` on a span; those that `more` has too come from there: a route's tags go before the connection manager's. */
export function applyCustomTags(
  span: Span,
  tags: readonly CustomTag[],
  more: readonly CustomTag[],
  context: FormatContext,
): void {
  for (let i = 0; i < more.length; i++) applyTag(span, more[i]!, context)
  for (let i = 0; i < tags.length; i++) {
    const tag = tags[i]!
    if (!more.some(other => other.name === tag.name)) applyTag(span, tag, context)
  }
}

function applyTag(span: Span, tag: CustomTag, context: FormatContext): void {
  const value = tag.value(context)
  if (value !== '') span.setTypedTag(tag.name, value, tag.type)
}

function compile(config: CustomTagConfig): CustomTag {
  const name = latin1(config.tag)
  switch (config.kind) {
    case 'literal':
      return new FixedTag(name, config.value)
    case 'environment':
      // Read once, as Envoy does: the variables of a process do not change.
      return new FixedTag(name, process.env[config.name] ?? config.defaultValue)
    case 'requestHeader':
      return new HeaderTag(name, config.name, config.defaultValue)
    case 'metadata':
      return new MetadataTag(name, config)
    case 'format':
      return new FormatTag(name, compileFormat(config.text, true), config.type)
  }
}

class FixedTag implements CustomTag {
  readonly name: string
  readonly type = 'string'
  readonly #value: string

  constructor(name: string, value: string) {
    this.name = name
    this.#value = latin1(value)
  }

  value(): string {
    return this.#value
  }
}

class HeaderTag implements CustomTag {
  readonly name: string
  readonly type = 'string'
  readonly #header: string
  readonly #default: string

  constructor(name: string, header: string, defaultValue: string) {
    this.name = name
    // One slot for both in Envoy's header map.
    this.#header = header === 'host' ? ':authority' : header
    this.#default = latin1(defaultValue)
  }

  value(context: FormatContext): string {
    return context.requestHeaders?.get(this.#header) ?? this.#default
  }
}

class MetadataTag implements CustomTag {
  readonly name: string
  readonly type = 'string'
  readonly #config: Extract<CustomTagConfig, { kind: 'metadata' }>
  readonly #default: string

  constructor(name: string, config: Extract<CustomTagConfig, { kind: 'metadata' }>) {
    this.name = name
    this.#config = config
    this.#default = latin1(config.defaultValue)
  }

  value(context: FormatContext): string {
    const { key, path } = this.#config
    const found = metadataValue(this.#metadata(context), key, path)
    if (found === undefined || found === null) return this.#default
    if (typeof found === 'string') return latin1(found)
    return typeof found === 'number' ? shortNumber(found) : valueText(found as boolean | object)
  }

  #metadata({ info }: FormatContext): Readonly<Record<string, unknown>> | null {
    switch (this.#config.source) {
      case 'request':
        return info.dynamicMetadata
      case 'route':
        return info.routeMetadata
      case 'cluster':
        // Known once a host has been chosen, as in Envoy.
        return info.upstreamHost === '' ? null : info.clusterMetadata
      case 'host':
        return info.hostMetadata
    }
  }
}

class FormatTag implements CustomTag {
  readonly name: string
  readonly type: TagType
  readonly #format: Formatter

  constructor(name: string, format: Formatter, type: TagType) {
    this.name = name
    this.type = type
    this.#format = format
  }

  value(context: FormatContext): string {
    return this.#format.format(context)
  }
}

/** absl::StrCat of a double: six digits, `%g` of C. */
export function shortNumber(value: number): string {
  const [digits, power] = value.toExponential(5).split('e') as [string, string]
  const exponent = Number(power)
  if (exponent >= -4 && exponent < 6) return withoutZeros(value.toFixed(5 - exponent))
  return `${withoutZeros(digits)}e${power[0]!}${power.slice(1).padStart(2, '0')}`
}

function withoutZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

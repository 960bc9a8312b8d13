import { ConfigError } from '../base/errors.ts'
import { readDataSource } from './data-source.ts'
import type { FieldPath } from './field-path.ts'
import { type FormatConfig, FormatError, type FormatExtension, parseFormat } from './format-string.ts'
import type { envoy } from './gen/messages.d.ts'

const EXTENSIONS: Readonly<Record<string, FormatExtension>> = {
  'type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery': 'req_without_query',
  'type.googleapis.com/envoy.extensions.formatter.metadata.v3.Metadata': 'metadata',
}

/** Checks and copies envoy.config.core.v3.SubstitutionFormatString. */
export function parseSubstitutionFormat(
  proto: envoy.config.core.v3.SubstitutionFormatString,
  at: FieldPath,
): FormatConfig {
  const extensions = parseFormatters(proto.formatters, at.field('formatters'))
  const base = {
    omitEmpty: proto.omit_empty_values ?? false,
    contentType: proto.content_type ?? '',
    sortKeys: proto.json_format_options?.sort_properties ?? true,
    extensions,
  }
  if (proto.json_format !== undefined) {
    checkJson(proto.json_format, at.field('json_format'), extensions)
    return { ...base, text: null, json: proto.json_format }
  }
  const field = at.field(proto.text_format === undefined ? 'text_format_source' : 'text_format')
  const text =
    proto.text_format ?? Buffer.from(readDataSource(proto.text_format_source ?? {}, field) ?? '').toString('utf8')
  checkFormat(text, field, extensions)
  return { ...base, text, json: null }
}

/** A list of formatter extensions, `formatters` in several messages. */
export function parseFormatters(
  protos: readonly envoy.config.core.v3.TypedExtensionConfig[] | undefined,
  at: FieldPath,
): FormatExtension[] {
  return (protos ?? []).map((formatter, i) => {
    const known = EXTENSIONS[formatter.typed_config?.type_url ?? '']
    if (known === undefined) {
      const text = `formatter '${formatter.name ?? ''}' is not supported yet`
      throw new ConfigError('CONFIG_UNSUPPORTED', at.index(i), text)
    }
    return known
  })
}

/** A format text in any field: ConfigError with Envoy's words. */
export function checkFormat(
  text: string,
  at: FieldPath,
  extensions: readonly FormatExtension[] = [],
  prefix = '',
): void {
  try {
    parseFormat(text, extensions)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    throw new ConfigError('CONFIG_INVALID', at, prefix + error.message)
  }
}

function checkJson(value: unknown, at: FieldPath, extensions: readonly FormatExtension[]): void {
  if (typeof value === 'string') checkFormat(value, at, extensions)
  else if (Array.isArray(value)) for (let i = 0; i < value.length; i++) checkJson(value[i], at.index(i), extensions)
  else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) checkJson(inner, at.key(key), extensions)
  }
}

import { ConfigError } from '../../base/errors.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { FormatConfig } from '../../config/format-string.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import { checkFormat, parseSubstitutionFormat } from '../../config/substitution-format.ts'
import type { AccessLogger, AccessLogType, FormatContext, Formatter } from '../format-context.ts'
import { setAccessLogType } from '../format-operators.ts'
import { compileFormatConfig, TextFormatter } from '../formatter.ts'
import { type FileWriter, fileWriter, pathError } from './file-writer.ts'

type Proto = envoy.extensions.access_loggers.file.v3.FileAccessLog

export const DEFAULT_ACCESS_LOG_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'

/** `path` may be `/dev/stdout` or `/dev/stderr`. */
export interface FileAccessLogConfig {
  readonly path: string
  readonly format: FormatConfig
}

/** envoy.access_loggers.file */
export const fileAccessLog: ExtensionFactory<Proto, FileAccessLogConfig, never, AccessLogger> = {
  category: 'envoy.access_loggers',
  name: 'envoy.access_loggers.file',
  typeUrls: ['envoy.extensions.access_loggers.file.v3.FileAccessLog'],
  parse(proto, at) {
    const path = proto.path ?? ''
    const error = pathError(path)
    if (error !== null) {
      throw new ConfigError('CONFIG_RESOURCE', at.field('path'), `unable to open file '${path}': ${error}`)
    }
    return { path, format: format(proto, at) }
  },
  create: (config, services) => new LineLogger(fileWriter(config.path, services), config.format),
}

/** The four ways to say the format; three of them deprecated. */
function format(proto: Proto, at: FieldPath): FormatConfig {
  if (proto.log_format !== undefined) return logFormat(proto.log_format, at)
  const json = proto.typed_json_format ?? proto.json_format
  if (json !== undefined) {
    // The deprecated json_format makes strings of all values; nobody is known to depend on that, so both are typed.
    return parseSubstitutionFormat({ json_format: json }, at)
  }
  if (proto.format === undefined || proto.format === '') return logFormat(undefined, at)
  checkFormat(proto.format, at.field('format'))
  return parseSubstitutionFormat({ text_format: proto.format }, at)
}

/** `log_format` of any file-like logger; Envoy's default without one. */
export function logFormat(
  proto: envoy.config.core.v3.SubstitutionFormatString | undefined,
  at: FieldPath,
): FormatConfig {
  if (proto === undefined) return parseSubstitutionFormat({ text_format: DEFAULT_ACCESS_LOG_FORMAT }, at)
  return parseSubstitutionFormat(proto, at.field('log_format'))
}

/** One formatted line per log event. */
export class LineLogger implements AccessLogger {
  readonly #writer: FileWriter
  readonly #formatter: Formatter
  /** The same object when it writes bytes. */
  readonly #text: TextFormatter | null

  constructor(writer: FileWriter, config: FormatConfig) {
    this.#writer = writer
    this.#formatter = compileFormatConfig(config)
    this.#text = this.#formatter instanceof TextFormatter ? this.#formatter : null
  }

  log(context: FormatContext, type: AccessLogType): void {
    setAccessLogType(type)
    if (this.#text !== null) this.#writer.appendFormatted(this.#text, context)
    else this.#writer.append(this.#formatter.format(context))
  }
}

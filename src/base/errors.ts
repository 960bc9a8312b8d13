/**
 * Errors of the configuration. Every code has one row here and one section in docs/errors.md (a test holds them together).
 * A ConfigError from a factory's parse() rejects the resource it came from: NACK for dynamic ones, exit 1 for static ones.
 */

/** code → the rule that was broken, one line. */
export const CONFIG_ERRORS = {
  CONFIG_FILE: 'the configuration file cannot be read',
  CONFIG_SYNTAX: 'the text is not YAML or JSON',
  CONFIG_BINARY: 'the bytes are not a valid protobuf message',
  CONFIG_TYPE: 'a value has not the type of its field',
  CONFIG_UNKNOWN_FIELD: 'a field does not exist in its message',
  CONFIG_UNKNOWN_ENUM: 'a name is not a value of the enum',
  CONFIG_ONEOF: 'two fields of one oneof are set',
  CONFIG_ANY_TYPE: 'the type of an Any is unknown or missing',
  CONFIG_CONSTRAINT: 'a value breaks a rule of its field',
  CONFIG_DEPRECATED: 'a field is deprecated and disabled',
  CONFIG_UNREGISTERED: 'no extension is registered for the type at this place',
  CONFIG_UNSUPPORTED: 'Envoy knows the field or value, Remora does not implement it',
  CONFIG_REFERENCE: 'a name refers to something that does not exist',
  CONFIG_DUPLICATE: 'two things have the same name or match',
  CONFIG_INVALID: 'fields contradict each other or the value makes no sense',
  CONFIG_RESOURCE: 'a file, certificate, address or other resource cannot be used',
} as const

export type ConfigErrorCode = keyof typeof CONFIG_ERRORS

/** Where in a message: FieldPath, or text for things that have none (flags). */
export interface ErrorPath {
  toString(): string
}

export interface ConfigErrorDetail {
  /** what to do about it, one sentence, no full stop needed */
  advice?: string | undefined
  file?: string | undefined
  /** 1-based */
  line?: number | undefined
  /** 1-based, in characters */
  column?: number | undefined
  cause?: unknown
}

/**
 * `envoyText` is what Envoy prints for the same mistake (its essential words, where it has any); `message` is that plus place and
 * advice, for an operator:
 *
 *     Protobuf message (type … no such field: 'conect_timeout') has unknown fields
 *       at bootstrap.yaml:12:5, static_resources.clusters[0].conect_timeout
 *       did you mean 'connect_timeout'?
 */
export class ConfigError extends Error {
  readonly code: ConfigErrorCode
  readonly at: ErrorPath
  readonly envoyText: string
  readonly advice: string | undefined
  readonly file: string | undefined
  readonly line: number | undefined
  readonly column: number | undefined

  constructor(code: ConfigErrorCode, at: ErrorPath, envoyText: string, detail: ConfigErrorDetail = {}) {
    super(format(at, envoyText, detail), detail.cause === undefined ? undefined : { cause: detail.cause })
    this.name = 'ConfigError'
    this.code = code
    this.at = at
    this.envoyText = envoyText
    this.advice = detail.advice
    this.file = detail.file
    this.line = detail.line
    this.column = detail.column
  }

  get path(): string {
    return this.at.toString()
  }

  /** The same error with its place in a file; `envoyText` may be given again when it quotes the position. */
  located(file: string, line: number | undefined, column: number | undefined, envoyText = this.envoyText): ConfigError {
    return new ConfigError(this.code, this.at, envoyText, {
      advice: this.advice,
      file,
      line,
      column,
      cause: this.cause,
    })
  }
}

function format(at: ErrorPath, envoyText: string, detail: ConfigErrorDetail): string {
  const place = [detail.file ? filePosition(detail) : '', at.toString()].filter(s => s !== '').join(', ')
  return envoyText + (place ? `\n  at ${place}` : '') + (detail.advice ? `\n  ${detail.advice}` : '')
}

function filePosition(d: ConfigErrorDetail): string {
  return d.line === undefined ? `${d.file}` : `${d.file}:${d.line}:${d.column ?? 1}`
}

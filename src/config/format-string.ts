import { FORMAT_OPERATORS } from './format-operators.ts'
import { latin1 } from './matcher.ts'

/**
 * Syntax of Envoy's substitution format strings (source/common/formatter/substitution_format_utility.cc). Pure: main checks
 * configurations with it; workers compile the tokens to readers of stream facts (`telemetry/formatter.ts`).
 */
export type FormatToken =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'operator'
      readonly name: string
      /** Text between the parentheses; '' when there are none. */
      readonly args: string
      /** `:N` bytes; -1 = all. */
      readonly length: number
    }

/** Cloneable form of envoy.config.core.v3.SubstitutionFormatString. */
export interface FormatConfig {
  /** Text format, or a JSON tree whose strings are formats. */
  readonly text: string | null
  readonly json: unknown
  readonly omitEmpty: boolean
  readonly contentType: string
  /** json_format_options.sort_properties false: keep the configured order. */
  readonly sortKeys: boolean
  /** Formatter extensions configured: their operators exist. */
  readonly extensions: readonly FormatExtension[]
}

export type FormatExtension = 'req_without_query' | 'metadata' | 'cel'

/** Thrown with Envoy's text; the caller knows the field and makes a ConfigError of it. */
export class FormatError extends Error {}

const COMMAND = /%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%/y

/** Splits and checks. Throws FormatError. */
export function parseFormat(format: string, extensions: readonly FormatExtension[] = []): FormatToken[] {
  const tokens: FormatToken[] = []
  let text = ''
  let at = 0
  while (at < format.length) {
    const percent = format.indexOf('%', at)
    if (percent < 0) break
    text += format.slice(at, percent)
    if (format.charCodeAt(percent + 1) === 37) {
      text += '%'
      at = percent + 2
      continue
    }
    COMMAND.lastIndex = percent
    const found = COMMAND.exec(format)
    if (found === null) {
      const position = Buffer.byteLength(format.slice(0, percent))
      throw new FormatError(`Incorrect configuration: ${format}. Couldn't find valid command at position ${position}`)
    }
    if (text !== '') tokens.push({ kind: 'text', text: latin1(text) })
    text = ''
    tokens.push(operator(found[1]!, found[2] ?? '', found[3], extensions))
    at = COMMAND.lastIndex
  }
  text += format.slice(at)
  if (text !== '') tokens.push({ kind: 'text', text: latin1(text) })
  return tokens
}

export function operator(
  name: string,
  args: string,
  length: string | undefined,
  extensions: readonly FormatExtension[] = [],
): FormatToken {
  const syntax = FORMAT_OPERATORS.get(name)
  if (syntax === undefined) {
    if (name !== 'REQ_WITHOUT_QUERY' || !extensions.includes('req_without_query')) {
      throw new FormatError(`Not supported field in StreamInfo: ${name}`)
    }
    headerArgs(args)
  } else {
    if (syntax.params === 'none' && (args !== '' || length !== undefined)) {
      throw new FormatError(`${name} does not take any parameters or length`)
    }
    if (syntax.params === 'required' && args === '') throw new FormatError(`${name} requires parameters`)
    if (!syntax.length && length !== undefined) throw new FormatError(`${name} does not allow length to be specified.`)
    CHECKS[name]?.(args, name)
  }
  const cut = length === undefined ? -1 : Math.min(Number(length), Number.MAX_SAFE_INTEGER)
  return { kind: 'operator', name, args, length: cut }
}

/** `MAIN?ALTERNATIVE` of header operators, in lower case. */
export function headerArgs(args: string): [string, string] {
  const names = args.split('?')
  if (names.length > 2) throw new FormatError(`More than 1 alternative header specified in token: ${args}`)
  if (/[\0\r\n ]/.test(args)) {
    throw new FormatError('Invalid header configuration. Format string contains invalid characters.')
  }
  return [headerName(names[0]!), headerName(names[1] ?? '')]
}

function headerName(name: string): string {
  const lower = name.toLowerCase()
  // One slot for both in Envoy's header map.
  return lower === 'host' ? ':authority' : lower
}

/** Operators of a COALESCE. */
export function coalesceArgs(args: string): FormatToken[] {
  const operators = (json(args) as { operators?: unknown }).operators
  if (!Array.isArray(operators)) {
    throw new FormatError("COALESCE: JSON configuration must contain 'operators' array")
  }
  if (operators.length === 0) throw new FormatError("COALESCE: 'operators' array must not be empty")
  return operators.map((entry: unknown, i) => {
    try {
      return coalesceEntry(entry)
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      throw new FormatError(`COALESCE: failed to parse operator at index ${i}: ${error.message}`)
    }
  })
}

function coalesceEntry(entry: unknown): FormatToken {
  if (typeof entry === 'string') return coalesceOperator(entry, '', undefined)
  if (typeof entry !== 'object' || entry === null) {
    throw new FormatError("operator entry must be either a string (command name) or an object with 'command' field")
  }
  const { command, param, max_length: length } = entry as Record<string, unknown>
  if (typeof command !== 'string') {
    throw new FormatError(
      "operator object must have 'command' field: key 'command' missing or not a string from lines 1-1",
    )
  }
  return coalesceOperator(
    command,
    typeof param === 'string' ? param : '',
    length === undefined ? undefined : `${length}`,
  )
}

function coalesceOperator(name: string, args: string, length: string | undefined): FormatToken {
  if (!FORMAT_OPERATORS.has(name)) throw new FormatError(`unknown command: '${name}'`)
  return operator(name, args, length)
}

function json(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said below.
  }
  throw new FormatError('COALESCE: failed to parse JSON configuration: JSON supplied is not valid.')
}

export const METADATA_SOURCES = [
  'DYNAMIC',
  'CLUSTER',
  'ROUTE',
  'UPSTREAM_HOST',
  'LISTENER',
  'LISTENER_FILTER_CHAIN',
  'VIRTUAL_HOST',
] as const

function oneOf(value: string, name: string, allowed: readonly string[], shown = allowed): void {
  if (value === '' || allowed.includes(value)) return
  const list = shown.map(a => `'${a}'`).join('/')
  throw new FormatError(`Invalid ${name} option: '${value}', only ${list} are allowed`)
}

function filterState(args: string): void {
  const [key = '', type, field] = args.split(':')
  if (key === '') throw new FormatError('Invalid filter state configuration, key cannot be empty.')
  if (type === undefined) return
  if (type !== 'PLAIN' && type !== 'TYPED' && type !== 'FIELD') {
    throw new FormatError('Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.')
  }
  if ((type === 'FIELD') !== (field !== undefined)) {
    throw new FormatError('Invalid filter state serialize type, FIELD should be used with the field name.')
  }
}

function cel(_args: string, name: string): void {
  // Envoy has CEL built in; a format that prints something else than asked would be worse than a refusal.
  throw new FormatError(`${name} is not supported yet`)
}

const CHECKS: Readonly<Record<string, (args: string, name: string) => void>> = {
  REQ: headerArgs,
  REQUEST_HEADER: headerArgs,
  RESP: headerArgs,
  RESPONSE_HEADER: headerArgs,
  TRAILER: headerArgs,
  RESPONSE_TRAILER: headerArgs,
  STREAM_INFO_REQ: headerArgs,
  COALESCE: coalesceArgs,
  CEL: cel,
  TYPED_CEL: cel,
  FILTER_STATE: filterState,
  UPSTREAM_FILTER_STATE: filterState,
  METADATA: args => {
    const source = args.split(':')[0]!
    if (!(METADATA_SOURCES as readonly string[]).includes(source)) {
      throw new FormatError(`${source} is not supported type of metadata`)
    }
  },
  XFCC_VALUE: args => {
    if (args === '') throw new FormatError('XFCC_VALUE command requires a subcommand')
    if (!['by', 'hash', 'cert', 'chain', 'subject', 'uri', 'dns'].includes(args)) {
      throw new FormatError(`XFCC_VALUE command does not support subcommand: ${args}`)
    }
  },
  COMMON_DURATION: args => {
    const parts = args.split(':')
    if (parts.length < 2 || parts.length > 3) {
      throw new FormatError(`Invalid common duration configuration: ${args}.`)
    }
    if (parts[2] !== undefined && !['ms', 'us', 'ns'].includes(parts[2])) {
      throw new FormatError(`Invalid common duration precision: ${parts[2]}.`)
    }
  },
  GRPC_STATUS: args => {
    if (!['', 'CAMEL_STRING', 'SNAKE_STRING', 'NUMBER'].includes(args)) {
      throw new FormatError(`GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: ${args}`)
    }
  },
  PATH: args => {
    const [query = '', source = ''] = args.split(':')
    oneOf(query, 'PATH', ['WQ', 'NQ'])
    oneOf(source, 'PATH', ['ORIG', 'PATH', 'ORIG_OR_PATH'])
  },
  QUERY_PARAMS: args => oneOf(args, 'QUERY_PARAMS', ['ORIG', 'DECODED']),
  REQUESTED_SERVER_NAME: args => {
    const [order = '', source = ''] = args.split(':')
    oneOf(order, 'REQUESTED_SERVER_NAME', ['SNI_ONLY', 'SNI_FIRST', 'HOST_FIRST'])
    oneOf(source, 'REQUESTED_SERVER_NAME', ['ORIG_OR_HOST', 'HOST', 'ORIG'])
  },
}

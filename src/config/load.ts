/**
 * A configuration file or text → validated message. Errors get file, line and column: positions cost nothing until something is
 * wrong, then the text is read again by a parser that knows them.
 */
import { readFileSync, statSync } from 'node:fs'
import { ConfigError } from '../base/errors.ts'
import { decodeMessage } from './binary.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { type ReadResult, readJson, type UnknownField, unknownFieldText } from './json-reader.ts'
import { parseJsonText } from './json-text.ts'
import { LongLists } from './long-lists.ts'
import { mergeMessages } from './merge.ts'
import { NotPlain } from './read-elements.ts'
import { validateMessage } from './validate.ts'
import { parseYaml, parseYamlSlowly, type SlowYaml } from './yaml.ts'
import { NOT_UNDERSTOOD, parseYamlFast } from './yaml-fast.ts'

const BOOTSTRAP = 'envoy.config.bootstrap.v3.Bootstrap'

/** What to do with unknown fields: static configurations refuse them unless --allow-unknown-static-fields. */
export type UnknownFieldPolicy = 'reject' | 'warn'

export interface LoadedMessage<T> {
  readonly message: T
  /** for the log, Envoy's words: unknown fields (when allowed) and deprecated ones */
  readonly warnings: readonly string[]
  readonly unknownFields: readonly UnknownField[]
  /** Puts file, line and column on an error that a factory raised for this message. */
  locate(error: ConfigError): ConfigError
}

/**
 * The bootstrap of `-c path` with `--config-yaml yaml` merged over it.
 * @throws ConfigError
 */
export function loadBootstrap(options: {
  path?: string | undefined
  yaml?: string | undefined
  allowUnknown?: boolean | undefined
}): LoadedMessage<envoy.config.bootstrap.v3.Bootstrap> {
  type Bootstrap = envoy.config.bootstrap.v3.Bootstrap
  const policy = options.allowUnknown === true ? 'warn' : 'reject'
  const path = options.path ?? ''
  const yaml = options.yaml ?? ''
  if (path === '' && yaml === '') {
    throw new ConfigError(
      'CONFIG_FILE',
      '',
      'At least one of --config-path or --config-yaml or Options::configProto() should be non-empty',
      {
        advice: 'give a file with -c',
      },
    )
  }
  const parts: LoadedMessage<Bootstrap>[] = []
  if (path !== '') parts.push(readFile<Bootstrap>(BOOTSTRAP, path, policy, yaml === ''))
  if (yaml !== '') parts.push(readYaml<Bootstrap>(BOOTSTRAP, yaml, '--config-yaml', policy))
  const [first, second] = parts
  const merged: LoadedMessage<Bootstrap> = {
    message: second === undefined ? first!.message : mergeMessages(BOOTSTRAP, first!.message, second.message),
    warnings: parts.flatMap(p => p.warnings),
    unknownFields: parts.flatMap(p => p.unknownFields),
    locate: error => first!.locate(error),
  }
  return validated(BOOTSTRAP, merged)
}

/**
 * Any message from a file, validated: bootstraps, and the DiscoveryResponse of a path_config_source.
 * The name decides: .yaml and .yml (any case) are YAML, .pb is binary, everything else is JSON.
 * @throws ConfigError
 */
export function loadFile<T extends object>(
  typeName: string,
  path: string,
  policy: UnknownFieldPolicy = 'reject',
): LoadedMessage<T> {
  return validated(typeName, readFile<T>(typeName, path, policy))
}

function validated<T extends object>(typeName: string, loaded: LoadedMessage<T>): LoadedMessage<T> {
  const warnings = [...loaded.warnings]
  try {
    validateMessage(typeName, loaded.message, undefined, warnings)
  } catch (e) {
    throw e instanceof ConfigError ? loaded.locate(e) : e
  }
  return { ...loaded, warnings }
}

/** `inParts`: long lists may be packed (long-lists.ts). */
function readFile<T extends object>(
  typeName: string,
  path: string,
  policy: UnknownFieldPolicy,
  inParts = false,
): LoadedMessage<T> {
  const kind = fileKind(path)
  if (kind === 'text-proto') {
    throw new ConfigError('CONFIG_FILE', '', `Unable to parse file "${path}" as a text protobuf (type ${typeName})`, {
      file: path,
      advice: 'text protobuf is not supported: convert it to YAML, JSON or binary (.pb)',
    })
  }
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code
    const text = code === 'ENOENT' || code === 'ENOTDIR' ? `Invalid path: ${path}` : `unable to read file: ${path}`
    throw new ConfigError('CONFIG_FILE', '', text, { file: path, advice: fileAdvice(code), cause: e })
  }
  if (kind === 'binary') return readBinary<T>(typeName, bytes, path, policy)
  const text = bytes.toString('utf8')
  const read = inParts ? readInParts<T>(typeName, text, path, kind) : null
  if (read !== null) {
    const positions = new LazyPositions(textAgain(path, text), path)
    return { ...read, warnings: [], locate: e => positions.put(e) }
  }
  if (kind === 'yaml') return readYaml<T>(typeName, text, path, policy)
  return readValue<T>(typeName, parseJsonText(text, typeName, path), text, path, policy)
}

function fileAdvice(code: string | undefined): string | undefined {
  switch (code) {
    case 'ENOENT':
      return 'there is no such file; a relative path counts from the working directory'
    case 'ENOTDIR':
      return 'a folder of the path is a file'
    case 'EISDIR':
      return 'this is a folder: name the file in it'
    case 'EACCES':
      return 'the user of this process must not read it'
    default:
      return code
  }
}

function fileKind(path: string): 'yaml' | 'binary' | 'text-proto' | 'json' {
  if (/\.ya?ml$/i.test(path)) return 'yaml'
  if (path.endsWith('.pb')) return 'binary'
  return path.endsWith('.pb_text') ? 'text-proto' : 'json'
}

function readBinary<T extends object>(
  typeName: string,
  bytes: Uint8Array,
  file: string,
  policy: UnknownFieldPolicy,
): LoadedMessage<T> {
  const locate = (e: ConfigError) => e.located(file, undefined, undefined)
  try {
    const { message, unknownNumbers, unknownFields } = decodeMessage<T>(typeName, bytes, undefined, {
      keepUnknownAny: false,
    })
    const warnings: string[] = []
    for (const u of unknownNumbers) {
      const text = `type ${u.typeName} with unknown field set {${u.number}}`
      if (policy === 'reject')
        throw new ConfigError('CONFIG_UNKNOWN_FIELD', u.at, `Protobuf message (${text}) has unknown fields`)
      warnings.push(`Unknown field: ${text}`)
    }
    if (policy === 'reject' && unknownFields.length > 0) throw unknownError(unknownFields)
    return { message, warnings, unknownFields, locate }
  } catch (e) {
    throw e instanceof ConfigError ? locate(e) : e
  }
}

/** Null: not to be read so, if at all. */
function readInParts<T extends object>(
  typeName: string,
  text: string,
  path: string,
  kind: 'yaml' | 'json',
): ReadResult<T> | null {
  const lists = new LongLists()
  try {
    const value = kind === 'yaml' ? parseYamlFast(text, lists) : lists.takeApart(parseJsonText(text, typeName, path))
    if (value === NOT_UNDERSTOOD) return null
    const read = readJson<T>(typeName, value)
    return read.unknownFields.length > 0 || !lists.complete ? null : read
  } catch (e) {
    if (e instanceof ConfigError || e instanceof NotPlain) return null
    throw e
  }
}

function readYaml<T extends object>(
  typeName: string,
  text: string,
  file: string,
  policy: UnknownFieldPolicy,
): LoadedMessage<T> {
  const value = parseYaml(text, file)
  if (typeof value !== 'object' || value === null)
    throw new ConfigError('CONFIG_SYNTAX', '', `Unable to convert YAML as JSON: ${text}`, {
      file,
      advice: 'the top level must be a mapping of fields',
    })
  return readValue<T>(typeName, value, text, file, policy)
}

function readValue<T extends object>(
  typeName: string,
  value: unknown,
  text: string,
  file: string,
  policy: UnknownFieldPolicy,
): LoadedMessage<T> {
  const positions = new LazyPositions(() => text, file)
  const locate = (e: ConfigError) => positions.put(e)
  try {
    const { message, unknownFields } = readJson<T>(typeName, value)
    if (policy === 'reject' && unknownFields.length > 0) throw unknownError(unknownFields)
    const warnings = unknownFields.map(u => `Unknown field: type ${u.rootType} reason INVALID_ARGUMENT: ${u.reason}`)
    return { message, warnings, unknownFields, locate }
  } catch (e) {
    throw e instanceof ConfigError ? locate(e) : e
  }
}

/** One error for all unknown fields: Envoy names only the first, which makes an operator run it again and again. */
function unknownError(fields: readonly UnknownField[]): ConfigError {
  const [first, ...rest] = fields
  const advice = [
    suggestion(first!),
    ...rest
      .slice(0, 20)
      .map(u => `also unknown: ${u.at}${u.suggestion === null ? '' : ` (did you mean '${u.suggestion}'?)`}`),
    ...(rest.length > 20 ? [`and ${rest.length - 20} more`] : []),
  ]
  return new ConfigError(
    first!.isEnumValue ? 'CONFIG_UNKNOWN_ENUM' : 'CONFIG_UNKNOWN_FIELD',
    first!.at,
    unknownFieldText(first!),
    {
      advice: advice.filter(a => a !== '').join('\n  '),
    },
  )
}

function suggestion(u: UnknownField): string {
  if (u.suggestion !== null) return `did you mean '${u.suggestion}'?`
  return u.isEnumValue ? `'${u.name}' is not a value of ${u.typeName}` : `${u.typeName} has no field like it`
}

/** Characters. Megabytes of text are not kept for positions that are rarely asked for. */
const LONG_TEXT = 1048576

/** The text of a file that was read; '' if there is another one by now. */
function textAgain(path: string, text: string): () => string {
  const change = text.length < LONG_TEXT ? null : changeOf(path)
  return change === null ? () => text : fileAgain(path, change)
}

/** A function of its own: closures of one function keep each other's variables, here the text. */
function fileAgain(path: string, change: string): () => string {
  return () => (changeOf(path) === change ? readFileSync(path, 'utf8') : '')
}

/** Tells one content of a file from another; null for what is no file that can be read again. */
function changeOf(path: string): string | null {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat?.isFile() === true ? `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}` : null
}

/** Keeps the text, or the way to it, until an error needs a position. */
class LazyPositions {
  readonly #text: () => string
  readonly #file: string
  #parsed: SlowYaml | null | undefined

  constructor(text: () => string, file: string) {
    this.#text = text
    this.#file = file
  }

  put(e: ConfigError): ConfigError {
    if (e.line !== undefined) return e
    const at = e.at
    const position =
      typeof (at as FieldPath).steps === 'function' ? (this.#parse()?.locate(at as FieldPath) ?? null) : null
    if (position === null) return e.located(this.#file, undefined, undefined)
    // Envoy's "near 1:251" points into JSON it made itself; the file's own position is of more use in the same place.
    const near = `, near ${position.line}:${position.column}: `
    const text = e.envoyText.replace(
      /(invalid JSON in [^:]*?(?: @ [^,]*?: [a-z]\w*(?: [\w.]+)?)?): (?=\S)/,
      (_, head: string) => head + near,
    )
    return e.located(this.#file, position.line, position.column, text)
  }

  #parse(): SlowYaml | null {
    if (this.#parsed === undefined) {
      try {
        // JSON is YAML here: the general parser reads both.
        this.#parsed = parseYamlSlowly(this.#text(), this.#file)
      } catch {
        this.#parsed = null
      }
    }
    return this.#parsed
  }
}

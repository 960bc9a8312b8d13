import { ConfigError } from '../../base/errors.ts'
import { type DecodeResult, decodeMessage } from '../../config/binary.ts'
import { FieldPath } from '../../config/field-path.ts'
import { unknownFieldText } from '../../config/json-reader.ts'
import { type UncheckedAny, validateMessage } from '../../config/validate.ts'
import { WireReader } from '../../config/wire-reader.ts'
import type { RawResource } from '../discovery-wire.ts'
import type { ResourceType } from './type.ts'

/** How strictly dynamic resources are read. */
export interface DecodePolicy {
  /** --reject-unknown-dynamic-fields */
  readonly rejectUnknown: boolean
  warn(text: string): void
  /** Once per unknown field that was let through (server.dynamic_unknown_fields). */
  countUnknown(): void
}

const WRAPPER = 'type.googleapis.com/envoy.service.discovery.v3.Resource'

/** Where a resource was read from a text, which it can then quote in errors. */
export interface ResourceOrigin {
  readonly message: object
  readonly at: FieldPath
  locate(error: ConfigError): ConfigError
}

/** One resource: its name at once, its message when somebody needs it. */
export class XdsResource {
  readonly type: ResourceType
  readonly name: string
  /** The encoded message; a part of the response, so what is to be kept must be copied. */
  readonly bytes: Uint8Array
  /** Of its own (incremental protocol), or of the response it came in. */
  readonly version: string
  #message: object | null
  #unchecked: UncheckedAny[] = []
  readonly #policy: DecodePolicy
  readonly #origin: ResourceOrigin | null

  constructor(
    type: ResourceType,
    name: string,
    bytes: Uint8Array,
    policy: DecodePolicy,
    version = '',
    origin: ResourceOrigin | null = null,
  ) {
    this.type = type
    this.name = name
    this.bytes = bytes
    this.version = version
    this.#policy = policy
    this.#origin = origin
    this.#message = origin?.message ?? null
  }

  /** The name in the message, which is what clusters and listeners go by; the name of the resource is what was asked for. */
  get ownName(): string {
    return this.bytes.length === 0 ? this.name : nameOf(this.bytes)
  }

  /** A text deep in the message, by numbers of fields, without decoding it; '' when it is not there. */
  nested(...numbers: number[]): string {
    try {
      return text(numbers.reduce((bytes, number) => field(bytes, number), this.bytes))
    } catch {
      return ''
    }
  }

  /** What the fields of this resource stand in, for errors. */
  get at(): FieldPath {
    return this.#origin?.at ?? FieldPath.root(`${this.type.word} '${this.name}'`)
  }

  /** The error with file and line, when the resource came from a file. */
  locate(error: Error): Error {
    return this.#origin !== null && error instanceof ConfigError ? this.#origin.locate(error) : error
  }

  /** The message, checked against the rules of its fields; those of its Anys are not. Throws ConfigError. */
  decode<M extends object = object>(): M {
    if (this.#message !== null) return this.#message as M
    const { typeName } = this.type
    const at = this.at
    const { message, unknownNumbers, unknownFields } = unpack(typeName, this.bytes, at)
    for (const { typeName: holder, number, at: place } of unknownNumbers) {
      this.#unknown(place, `type ${holder} with unknown field set {${number}}`)
    }
    for (const field of unknownFields) this.#unknown(field.at, unknownFieldText(field))
    const warnings: string[] = []
    validateMessage(typeName, message, at, warnings, this.#unchecked)
    for (const text of warnings) this.#policy.warn(text)
    this.#message = message
    return message as M
  }

  /**
   * The same with what stands in its Anys, whose rules are broken for this resource alone: others of its response are not refused for
   * it, as in Envoy, where the factories check them. Throws ConfigError.
   */
  decodeWhole<M extends object = object>(): M {
    const message = this.decode<M>()
    const warnings: string[] = []
    for (const { typeName, message, at } of this.#unchecked) validateMessage(typeName, message, at, warnings)
    for (const text of warnings) this.#policy.warn(text)
    this.#unchecked = []
    return message
  }

  #unknown(at: FieldPath, text: string): void {
    if (this.#policy.rejectUnknown) {
      throw new ConfigError('CONFIG_UNKNOWN_FIELD', at, `Protobuf message (${text}) has unknown fields`)
    }
    this.#policy.countUnknown()
    this.#policy.warn(`Unknown field: ${text}`)
  }
}

/** Envoy's words for bytes that are no message of the type. */
function unpack(typeName: string, bytes: Uint8Array, at: FieldPath): DecodeResult {
  try {
    return decodeMessage(typeName, bytes, at)
  } catch (cause) {
    if (!(cause instanceof ConfigError) || cause.code !== 'CONFIG_BINARY') throw cause
    const text = `Unable to unpack as ${typeName}: ${cause.cause instanceof Error ? cause.cause.message : 'malformed'}`
    throw new ConfigError(cause.code, cause.at, text, { cause })
  }
}

/**
 * Throws ConfigError when the resource is of another type than its response, or WireError when it is malformed.
 *
 * @param wireName what it is called outside its message (incremental protocol)
 */
export function readResource(
  type: ResourceType,
  raw: RawResource,
  version: string,
  policy: DecodePolicy,
  wireName = '',
): XdsResource {
  let { typeUrl, bytes } = raw
  let name = wireName
  if (typeUrl === WRAPPER) {
    // Resource {resource = 2 (Any), name = 3, ttl = 6}: read by hand, the message inside is decoded once only.
    name = text(field(bytes, 3))
    if (field(bytes, 6).length > 0) policy.warn(`${type.word} '${name}': ttl is not supported, the resource stays`)
    const any = field(bytes, 2)
    typeUrl = text(field(any, 1))
    bytes = field(any, 2)
  }
  if (typeUrl !== type.typeUrl) {
    throw new ConfigError(
      'CONFIG_ANY_TYPE',
      '',
      `${typeUrl} does not match the message-wide type URL ${type.typeUrl} in DiscoveryResponse`,
    )
  }
  return new XdsResource(type, name === '' ? nameOf(bytes) : name, bytes, policy, version)
}

/** Field 1 of every xDS resource is its name. Malformed bytes have none; decoding them says what is wrong. */
function nameOf(bytes: Uint8Array): string {
  try {
    return text(field(bytes, 1))
  } catch {
    return ''
  }
}

/** The last length-delimited field of that number; empty when there is none. Throws WireError. */
function field(bytes: Uint8Array, number: number): Uint8Array {
  const reader = new WireReader(bytes)
  let found: Uint8Array = new Uint8Array(0)
  while (reader.at < reader.end) {
    const tag = reader.uint32()
    if ((tag & 7) !== 2) {
      reader.skip(tag & 7)
      continue
    }
    const end = reader.delimited()
    if (tag >>> 3 === number) found = bytes.subarray(reader.at, end)
    reader.at = end
  }
  return found
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

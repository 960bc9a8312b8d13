/**
 * The protoc-gen-validate rules, interpreted from the descriptors, and the warnings for deprecated fields. One walk does both and
 * goes into decoded Anys, where Envoy's factories apply the rules when they read them.
 */
import { ConfigError } from '../base/errors.ts'
import { shelfOf } from '../base/shelf.ts'
import type { AnyMessage } from './any.ts'
import { type FieldType, hasMessageType, type MessageType, messageType } from './descriptors.ts'
import { FieldPath } from './field-path.ts'
import { warningsOf } from './read-elements.ts'
import { checkField } from './validate-rules.ts'
import { msToSeconds } from './well-known.ts'

/** A decoded Any whose rules are yet to be checked. */
export interface UncheckedAny {
  readonly typeName: string
  readonly message: object
  readonly at: FieldPath
}

/**
 * @param warnings gets one line per use of a deprecated field, Envoy's words
 * @param later gets the Anys of the message, which are not gone into then: each by itself is for this function
 * @throws ConfigError CONFIG_CONSTRAINT for the first broken rule, CONFIG_DEPRECATED, CONFIG_INVALID for a negative duration
 */
export function validateMessage(
  typeName: string,
  message: object,
  at: FieldPath = FieldPath.root(),
  warnings: string[] = [],
  later: UncheckedAny[] | null = null,
): void {
  walk(messageType(typeName), message as Record<string, unknown>, at, typeName, null, { warnings, later })
}

interface Findings {
  readonly warnings: string[]
  /** null: Anys are gone into. */
  readonly later: UncheckedAny[] | null
}

/** A link of Envoy's "caused by" chain, put in words only for an error. */
interface Chain {
  readonly up: Chain | null
  readonly type: MessageType
  readonly field: FieldType
  readonly element: Element
}

/** Index in a list, key in a map, null for a single value. */
type Element = number | string | null

/** Messages with lists whose elements may have been checked when they were read (long-lists.ts). */
const HOLDERS = new Set([
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources',
  'envoy.config.route.v3.RouteConfiguration',
])

const interesting = new WeakMap<MessageType, readonly FieldType[]>()

/** Fields that need a look: those with rules, messages, deprecated ones, and enums that have deprecated values. */
function checkedFields(type: MessageType): readonly FieldType[] {
  let fields = interesting.get(type)
  if (fields === undefined) {
    fields = type.fields.filter(
      f =>
        f.rules !== null ||
        f.deprecated !== null ||
        f.isMessage ||
        f.wellKnown === 'any' ||
        f.wellKnown === 'duration' ||
        f.isEnum,
    )
    interesting.set(type, fields)
  }
  return fields
}

function walk(
  type: MessageType,
  message: Record<string, unknown>,
  at: FieldPath,
  root: string,
  chain: Chain | null,
  findings: Findings,
): void {
  const rules = !type.validationDisabled
  const shelf = HOLDERS.has(type.name) ? shelfOf(message) : null
  for (const field of checkedFields(type)) {
    const list = shelf?.get(field.name)
    if (list !== undefined) {
      findings.warnings.push(...warningsOf(list))
      continue
    }
    const value = message[field.name]
    if (value !== undefined) checkDeprecation(type, field, value, at, findings.warnings)
    // Envoy finds a negative duration when it evaluates the rule, before the rule itself.
    if (field.wellKnown === 'duration' && !field.repeated && (value as number) < 0)
      throw negativeDuration(at.field(field.name), value as number)
    if (rules && field.rules !== null) {
      const broken = checkField(field, value)
      if (broken !== null) {
        const { element, reason } = broken
        const here = at.field(field.name)
        const path = element === null ? here : typeof element === 'number' ? here.index(element) : here.key(element)
        throw constraintError(path, chain, `${linkText(type, field, element)}: ${reason}`)
      }
    }
    if (value === undefined) continue
    if (field.isMap) walkMap(type, field, value as Record<string, unknown>, at, root, chain, findings)
    else if (field.repeated) {
      const list = value as unknown[]
      for (let i = 0; i < list.length; i++)
        walkValue(type, field, list[i], at.field(field.name).index(i), i, root, chain, findings)
    } else walkValue(type, field, value, at.field(field.name), null, root, chain, findings)
  }
  if (rules) checkOneofs(type, message, at, chain)
}

function walkMap(
  type: MessageType,
  field: FieldType,
  map: Record<string, unknown>,
  at: FieldPath,
  root: string,
  chain: Chain | null,
  findings: Findings,
): void {
  const value = field.message.byNumber.get(2)!
  if (value.type !== 11) return
  let i = 0
  for (const key of Object.keys(map)) {
    walkValue(type, value, map[key], at.field(field.name).key(key, i++), key, root, chain, findings, field)
  }
}

function walkValue(
  type: MessageType,
  field: FieldType,
  value: unknown,
  at: FieldPath,
  element: Element,
  root: string,
  chain: Chain | null,
  findings: Findings,
  named: FieldType = field,
): void {
  if (field.wellKnown === 'any') {
    const any = value as AnyMessage
    const name = any.type_url.slice(any.type_url.lastIndexOf('/') + 1)
    // The rules of an Any are checked where it is read, so its chain starts anew.
    if (any.message === undefined || any.typed_struct === true || !hasMessageType(name)) return
    if (findings.later !== null) findings.later.push({ typeName: name, message: any.message, at: at.any() })
    else {
      walk(messageType(name), any.message as Record<string, unknown>, at.any(), name, null, findings)
    }
  } else if (field.wellKnown === 'duration') {
    if ((value as number) < 0) throw negativeDuration(at, value as number)
  } else if (field.isMessage) {
    // (validate.rules).message.skip: the message is not looked into.
    const skip = (field.rules?.['message'] as { skip?: boolean } | undefined)?.skip === true
    if (skip) return
    const link = { up: chain, type, field: named, element }
    walk(field.message, value as Record<string, unknown>, at, root, link, findings)
  }
}

function checkOneofs(type: MessageType, message: Record<string, unknown>, at: FieldPath, chain: Chain | null): void {
  for (let i = 0; i < type.oneofs.length; i++) {
    const oneof = type.oneofs[i]!
    if (!oneof.required) continue
    const members = type.fields.filter(f => f.oneof === i)
    if (members.some(f => message[f.name] !== undefined)) continue
    const advice = `set one of: ${members.map(f => f.name).join(', ')}`
    throw constraintError(at, chain, `field: "${oneof.name}", reason: is required`, advice)
  }
}

function negativeDuration(at: FieldPath, ms: number): ConfigError {
  const { seconds, nanos } = msToSeconds(ms)
  const parts = `${seconds === 0 ? '' : ` seconds: ${seconds}`}${nanos === 0 ? '' : ` nanos: ${nanos}`}`
  return new ConfigError('CONFIG_INVALID', at, `Invalid duration: Expected positive duration:${parts}`)
}

function constraintError(at: FieldPath, chain: Chain | null, last: string, advice?: string): ConfigError {
  const links = [last]
  for (let link = chain; link !== null; link = link.up) {
    links.unshift(`${linkText(link.type, link.field, link.element)}: embedded message failed validation`)
  }
  return new ConfigError(
    'CONFIG_CONSTRAINT',
    at,
    `Proto constraint validation failed (${links.join(' | caused by ')})`,
    { advice },
  )
}

function checkDeprecation(
  type: MessageType,
  field: FieldType,
  value: unknown,
  at: FieldPath,
  warnings: string[],
): void {
  if (field.deprecated !== null) {
    const text = `Using deprecated option '${type.name}.${field.name}' from file ${fileName(type.file)}. ${DEPRECATION_ADVICE}`
    if (field.disallowed)
      throw new ConfigError(
        'CONFIG_DEPRECATED',
        at.field(field.name),
        `The following field is deprecated and fails: ${text}`,
      )
    warnings.push(`Deprecated field: type ${type.name} ${text}`)
  }
  if (!field.isEnum || typeof value !== 'string') return
  const deprecated = field.enum.deprecated[value]
  if (deprecated === undefined) return
  const text = `Using deprecated value ${value} for enum '${type.name}.${field.name}' from file ${fileName(type.file)}. ${DEPRECATION_ADVICE}`
  if (deprecated.endsWith('!'))
    throw new ConfigError(
      'CONFIG_DEPRECATED',
      at.field(field.name),
      `The following value is deprecated and fails: ${text}`,
    )
  warnings.push(`Deprecated field: type ${type.name} ${text}`)
}

const DEPRECATION_ADVICE =
  'This configuration will be removed from Envoy soon. Please see https://www.envoyproxy.io/docs/envoy/latest/version_history/version_history ' +
  'for details. If continued use of this field is absolutely necessary, see https://www.envoyproxy.io/docs/envoy/latest/configuration/' +
  'operations/runtime#using-runtime-overrides-for-deprecated-features for how to apply a temporary and highly discouraged override.'

function fileName(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1)
}

function linkText(type: MessageType, field: FieldType, element: Element): string {
  return `${localName(type)}ValidationError.${pascal(field.name)}${element === null ? '' : `[${element}]`}`
}

function localName(type: MessageType): string {
  return type.name.slice(type.name.lastIndexOf('.') + 1)
}

function pascal(name: string): string {
  return name.replace(/(^|_)([a-z0-9])/g, (_, __, c: string) => c.toUpperCase())
}

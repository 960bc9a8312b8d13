/** protobuf's MergeFrom on messages in our shape, for --config-yaml over the configuration file. Quirks are protobuf's. */
import type { AnyMessage } from './any.ts'
import { type FieldType, type MessageType, messageType } from './descriptors.ts'
import { setKey } from './object-key.ts'
import { msToSeconds, secondsToMs } from './well-known.ts'

/** A new message: what `over` sets replaces, lists append, map entries replace by key, messages merge. Inputs stay as they are. */
export function mergeMessages<T extends object>(typeName: string, base: T, over: T): T {
  return merge(messageType(typeName), base as Record<string, unknown>, over as Record<string, unknown>) as T
}

function merge(
  type: MessageType,
  base: Record<string, unknown>,
  over: Record<string, unknown>,
): Record<string, unknown> {
  const out: Record<string, unknown> = { ...base }
  for (const field of type.fields) {
    const value = over[field.name]
    if (value === undefined) continue
    if (field.oneof >= 0) for (const f of type.fields) if (f.oneof === field.oneof && f !== field) delete out[f.name]
    out[field.name] = mergeField(field, out[field.name], value)
  }
  return out
}

function mergeField(field: FieldType, base: unknown, over: unknown): unknown {
  if (base === undefined) return over
  if (field.isMap || field.wellKnown === 'struct') return mergeMaps(base as object, over as object)
  if (field.repeated) return [...(base as unknown[]), ...(over as unknown[])]
  switch (field.wellKnown) {
    case null:
      return field.isMessage
        ? merge(field.message, base as Record<string, unknown>, over as Record<string, unknown>)
        : over
    case 'wrapper':
      // The message inside has one field without presence: false, 0 and '' do not replace anything.
      return over === false || over === 0 || over === '' ? base : over
    case 'duration': {
      const a = msToSeconds(base as number)
      const b = msToSeconds(over as number)
      return secondsToMs(b.seconds === 0 ? a.seconds : b.seconds, b.nanos === 0 ? a.nanos : b.nanos)
    }
    case 'list':
      return [...(base as unknown[]), ...(over as unknown[])]
    case 'any':
      return (over as AnyMessage).type_url === '' ? base : over
    default:
      return over
  }
}

function mergeMaps(base: object, over: object): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [k, v] of Object.entries(base)) setKey(out, k, v)
  for (const [k, v] of Object.entries(over)) setKey(out, k, v)
  return out
}

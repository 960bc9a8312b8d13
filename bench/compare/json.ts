import { parse } from 'yaml'

/** Parsed configurations are edited as plain JSON: two names for a field, snake_case and camelCase, as protobuf reads both. */
export type JsonObject = Record<string, unknown>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * A file as Envoy reads it: YAML, of which JSON is a part. Dumps have megabytes, of which a parser of YAML reads two or three a
 * second. Throws the parser's error.
 */
export function parseConfiguration(text: string): unknown {
  if (text.trimStart().startsWith('{')) {
    try {
      return JSON.parse(text)
    } catch {
      // YAML in braces.
    }
  }
  return parse(text, { version: '1.1', merge: true })
}

/** The value of a field by its snake_case name. */
export function field(from: unknown, name: string): unknown {
  return isObject(from) ? (from[name] ?? from[camel(name)]) : undefined
}

export function objectField(from: unknown, name: string): JsonObject | undefined {
  const value = field(from, name)
  return isObject(value) ? value : undefined
}

export function listField(from: unknown, name: string): JsonObject[] {
  const value = field(from, name)
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** Sets a field under its snake_case name. */
export function setField(to: JsonObject, name: string, value: unknown): void {
  removeField(to, name)
  to[name] = value
}

/** True when there was such a field. */
export function removeField(from: JsonObject, name: string): boolean {
  const had = name in from || camel(name) in from
  delete from[name]
  delete from[camel(name)]
  return had
}

/** Every object within, itself included. */
export function* objectsWithin(value: unknown): Generator<JsonObject> {
  if (Array.isArray(value)) for (const item of value) yield* objectsWithin(item)
  if (!isObject(value)) return
  yield value
  for (const item of Object.values(value)) yield* objectsWithin(item)
}

/** True for an Any of this message (last part of the type URL). */
export function isTyped(value: JsonObject, message: string): boolean {
  const url = value['@type']
  return typeof url === 'string' && url.endsWith(`.${message}`)
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

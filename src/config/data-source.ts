import { readFileSync } from 'node:fs'
import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'

/**
 * Bytes of an envoy.config.core.v3.DataSource, read once on main while parsing, as Envoy does for formats and bodies.
 * Null when no source is set.
 */
export function readDataSource(proto: envoy.config.core.v3.DataSource, at: FieldPath): Uint8Array | null {
  if (proto.inline_string !== undefined) return Buffer.from(proto.inline_string, 'utf8')
  if (proto.inline_bytes !== undefined) return proto.inline_bytes
  if (proto.environment_variable !== undefined) {
    const value = process.env[proto.environment_variable]
    if (value === undefined) {
      const text = `Environment variable doesn't exist: ${proto.environment_variable}`
      throw new ConfigError('CONFIG_RESOURCE', at.field('environment_variable'), text)
    }
    return Buffer.from(value, 'utf8')
  }
  if (proto.filename === undefined) return null
  try {
    return readFileSync(proto.filename)
  } catch (cause) {
    const text = `file ${proto.filename} does not exist`
    throw new ConfigError('CONFIG_RESOURCE', at.field('filename'), text, { cause })
  }
}

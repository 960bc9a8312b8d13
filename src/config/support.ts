/**
 * Which fields of a message a parse() honours. A field that is set and not listed is rejected: no option is read and ignored.
 * docs/support-matrix.md is generated from the same tables.
 *
 *     const support = defineSupport<envoy.config.cluster.v3.Cluster>('envoy.config.cluster.v3.Cluster', {
 *       name: 'yes',
 *       track_cluster_stats: 'warn',
 *       upstream_config: 'reject',
 *     })
 *     support.check(proto, at, warnings)
 */
import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from './field-path.ts'

/**
 * yes: honoured. warn: accepted with a warning, has no effect (only for fields that concern neither security nor where traffic goes).
 * reject: refused, the same as not being listed, but said on purpose.
 */
export type SupportLevel = 'yes' | 'warn' | 'reject'

export interface MessageSupport<T extends object = object> {
  readonly typeName: string
  readonly fields: Readonly<Partial<Record<keyof T & string, SupportLevel>>>
  /** @throws ConfigError CONFIG_UNSUPPORTED for the first field that is set and not supported */
  check(message: T, at: FieldPath, warnings: string[]): void
}

const tables = new Map<string, MessageSupport>()

/** @throws Error when a table is defined twice; field names are checked against the descriptors by a test */
export function defineSupport<T extends object>(
  typeName: string,
  fields: Readonly<Partial<Record<keyof T & string, SupportLevel>>>,
): MessageSupport<T> {
  if (tables.has(typeName)) throw new Error(`support of ${typeName} is defined twice`)
  const levels = fields as Readonly<Record<string, SupportLevel | undefined>>
  const support: MessageSupport<T> = {
    typeName,
    fields,
    check(message, at, warnings) {
      for (const name of Object.keys(message)) {
        const value = (message as Record<string, unknown>)[name]
        // An empty list is on the wire what an absent one is.
        if (value === undefined || (Array.isArray(value) && value.length === 0)) continue
        const level = levels[name]
        if (level === 'yes') continue
        const text = `field '${name}' of ${typeName} is not supported`
        if (level === 'warn') warnings.push(`${at.field(name)}: ${text}, it has no effect`)
        else
          throw new ConfigError('CONFIG_UNSUPPORTED', at.field(name), text, {
            advice: 'remove it; docs/support-matrix.md lists what is supported',
          })
      }
    },
  }
  tables.set(typeName, support as MessageSupport)
  return support
}

/** A single value that is not supported, where its field is. */
export function unsupportedValue(at: FieldPath, value: string, advice?: string): ConfigError {
  return new ConfigError('CONFIG_UNSUPPORTED', at, `value ${value} is not supported`, { advice })
}

/** Every table there is, by message type. */
export function supportTables(): ReadonlyMap<string, MessageSupport> {
  return tables
}

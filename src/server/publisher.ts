import { serialize } from 'node:v8'
import type { Published } from '../worker/messages.ts'

/**
 * Serialises a parsed configuration once into memory that every worker reads: with many workers and many clusters neither time
 * nor memory grows with their product. Throws when the value is not cloneable: a bug of a parse().
 */
export function publish(name: string, version: string, config: unknown): Published {
  const bytes = serialize(config)
  const shared = new SharedArrayBuffer(bytes.length)
  new Uint8Array(shared).set(bytes)
  return { name, version, bytes: shared }
}

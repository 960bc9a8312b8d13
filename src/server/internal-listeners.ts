import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { typeNameOf } from '../config/registry.ts'
import { defineSupport } from '../config/support.ts'

type Proto = envoy.extensions.bootstrap.internal_listener.v3.InternalListener

const TYPE = 'envoy.extensions.bootstrap.internal_listener.v3.InternalListener'
const support = defineSupport<Proto>(TYPE, { buffer_size_kb: 'yes' })

const DEFAULT_BUFFER_KB = 1024

/**
 * envoy.bootstrap.internal_listener, without which there are no internal listeners: bytes that each side of a connection to one keeps
 * unread; null = the bootstrap does not have it.
 */
export function internalListenerBuffer({ bootstrap_extensions }: envoy.config.bootstrap.v3.Bootstrap): number | null {
  const extensions = bootstrap_extensions ?? []
  const index = extensions.findIndex(isInternalListener)
  if (index < 0) return null
  const proto = (extensions[index]!.typed_config?.message ?? {}) as Proto
  support.check(proto, FieldPath.root().field('bootstrap_extensions').index(index).field('typed_config'), [])
  return (proto.buffer_size_kb ?? DEFAULT_BUFFER_KB) * 1024
}

export function isInternalListener({ typed_config }: envoy.config.core.v3.TypedExtensionConfig): boolean {
  return typeNameOf(typed_config) === TYPE
}

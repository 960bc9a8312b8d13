import { ConfigError } from '../../base/errors.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import { defineSupport } from '../../config/support.ts'
import { createInner, parseInner, type WrappingConfig } from './layers.ts'
import type { ClientTransport } from './tls.ts'

type Proto = envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport
type SourceProto = envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport_MetadataValueSource

export const INTERNAL_UPSTREAM = 'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport'

const support = defineSupport<Proto>(INTERNAL_UPSTREAM, { passthrough_metadata: 'yes', transport_socket: 'yes' })

/** Metadata that an internal listener gets to know. */
export interface PassthroughSource {
  readonly kind: 'host' | 'cluster'
  /** Its namespace. */
  readonly name: string
}

export interface InternalUpstreamConfig extends WrappingConfig {
  readonly metadata: readonly PassthroughSource[]
}

/**
 * envoy.transport_sockets.internal_upstream: hands metadata and filter state to the internal listener that a connection goes to. The
 * connector does that; as a transport it is the one that it wraps.
 */
export const internalUpstream: ExtensionFactory<Proto, InternalUpstreamConfig, unknown, ClientTransport> = {
  category: 'envoy.transport_sockets.upstream',
  name: 'envoy.transport_sockets.internal_upstream',
  typeUrls: [INTERNAL_UPSTREAM],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return {
      metadata: (proto.passthrough_metadata ?? []).map((s, i) => source(s, at.field('passthrough_metadata').index(i))),
      inner: parseInner(proto.transport_socket, 'envoy.transport_sockets.upstream', at, warnings),
    }
  },
  create: createInner<ClientTransport>,
}

function source({ kind, name = '' }: SourceProto, at: FieldPath): PassthroughSource {
  if (kind?.host !== undefined) return { kind: 'host', name }
  if (kind?.cluster !== undefined) return { kind: 'cluster', name }
  // As in Envoy: a connection may carry many requests, so it has no metadata of one of them.
  const text = `metadata type is not supported: ${Object.keys(kind ?? {})[0] ?? 'none'}`
  throw new ConfigError('CONFIG_INVALID', at.field('kind'), text, { advice: 'use host or cluster' })
}

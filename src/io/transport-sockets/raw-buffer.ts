import type { ExtensionFactory } from '../../config/registry.ts'
import type { ClientTransport, ServerTransport } from './tls.ts'

const TYPE = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'

/** Plain TCP: there is nothing to configure and nothing to run. */
export const downstreamRawBuffer: ExtensionFactory<object, null, unknown, ServerTransport> = {
  category: 'envoy.transport_sockets.downstream',
  name: 'envoy.transport_sockets.raw_buffer',
  typeUrls: [TYPE],
  parse: () => null,
  create: () => () => null,
}

export const upstreamRawBuffer: ExtensionFactory<object, null, unknown, ClientTransport> = {
  category: 'envoy.transport_sockets.upstream',
  name: 'envoy.transport_sockets.raw_buffer',
  typeUrls: [TYPE],
  parse: () => null,
  create: () => () => null,
}

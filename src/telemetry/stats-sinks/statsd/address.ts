import { ConfigError } from '../../../base/errors.ts'
import { parseSocketAddress } from '../../../config/endpoint.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { pipeAddress } from '../../../io/address.ts'
import type { Address } from '../../../io/connection.ts'

/** Where datagrams go: an IP address, whatever its `protocol` says, or the path of a Unix datagram socket. Throws ConfigError. */
export function parseDatagramAddress(proto: envoy.config.core.v3.Address, at: FieldPath): Address {
  if (proto.pipe !== undefined) return pipeAddress(proto.pipe.path ?? '')
  const { socket_address: socket } = proto
  if (socket === undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'only socket_address and pipe are supported here')
  }
  return parseSocketAddress({ ...socket, protocol: 'TCP' }, at.field('socket_address'))
}

import { ConfigError } from '../base/errors.ts'
import { parseSocketAddress } from '../config/endpoint.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { pipeAddress } from '../io/address.ts'
import type { Address } from '../io/connection.ts'
import { boundAddress, type ListenSocketOptions, openListenSocket, PLAIN_SOCKET } from '../io/listen-socket.ts'
import { socketOptions } from '../listener/parse-listener.ts'

export interface AdminSocket {
  readonly address: Address
  readonly options: ListenSocketOptions
}

/** `admin.address` and `admin.socket_options` of the bootstrap; null: there is to be no admin interface. Throws ConfigError. */
export function parseAdminSocket(admin: envoy.config.bootstrap.v3.Admin | undefined): AdminSocket | null {
  if (admin?.address === undefined) return null
  const { address } = admin
  const at = FieldPath.root().field('admin')
  const options = { ...PLAIN_SOCKET, options: socketOptions(admin.socket_options, at.field('socket_options')) }
  if (address.pipe !== undefined) {
    return { address: pipeAddress(address.pipe.path ?? ''), options: { ...options, mode: address.pipe.mode ?? 0 } }
  }
  const place = at.field('address')
  if (address.socket_address === undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', place, 'only socket_address and pipe are supported here')
  }
  return { address: parseSocketAddress(address.socket_address, place.field('socket_address')), options }
}

/** Binds it; `address` is what the kernel made of port 0. Throws ListenError. */
export function openAdminSocket({ address, options }: AdminSocket): { readonly fd: number; readonly address: Address } {
  const fd = openListenSocket(address, options)
  return { fd, address: boundAddress(fd) ?? address }
}

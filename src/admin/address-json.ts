import { isPipe } from '../io/address.ts'
import type { Address } from '../io/connection.ts'

/** envoy.config.core.v3.Address of a resolved address. */
export function addressJson(address: Address): object {
  if (address.internal !== undefined) {
    const { listener, endpointId } = address.internal
    const id = endpointId === '' ? {} : { endpoint_id: endpointId }
    return { envoy_internal_address: { server_listener_name: listener, ...id } }
  }
  if (isPipe(address)) return { pipe: { path: address.ip } }
  return { socket_address: { address: address.ip, port_value: address.port } }
}

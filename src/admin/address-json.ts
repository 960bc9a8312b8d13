import type { Address } from '../io/connection.ts'

/** envoy.config.core.v3.Address of a resolved address. */
export function addressJson(address: Address): object {
  if (address.port === 0 && (address.ip.startsWith('/') || address.ip.startsWith('@'))) {
    return { pipe: { path: address.ip } }
  }
  return { socket_address: { address: address.ip, port_value: address.port } }
}

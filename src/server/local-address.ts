import { networkInterfaces } from 'node:os'

/** The first address of the machine that is not loopback (Envoy: Network::Utility::getLocalAddress). */
export function localAddress(version: 'v4' | 'v6'): string {
  const family = version === 'v4' ? 'IPv4' : 'IPv6'
  for (const addresses of Object.values(networkInterfaces())) {
    for (const address of addresses ?? []) if (!address.internal && address.family === family) return address.address
  }
  return version === 'v4' ? '127.0.0.1' : '::1'
}

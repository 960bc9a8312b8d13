import type { Address } from './connection.ts'
import { libc } from './libc.ts'
import { decodeSocketAddress } from './socket-address.ts'

const SOL_IP = 0
const SOL_IPV6 = 41
/** SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST have the same number. */
const SO_ORIGINAL_DST = 80

const buffer = Buffer.alloc(28)
const length = Buffer.alloc(4)

/**
 * Where the client wanted to go before iptables REDIRECT sent it here; null when netfilter knows nothing of the connection.
 * `ipv6`: the socket's own family (a dual-stack socket with an IPv4 client counts as IPv6 and is asked for both).
 */
export function originalDestination(fd: number, ipv6: boolean): Address | null {
  const c = libc()
  if (c === null || fd < 0) return null
  if (ipv6) {
    const address = ask(fd, SOL_IPV6, 28)
    if (address !== null) return address
  }
  return ask(fd, SOL_IP, 16)
}

function ask(fd: number, level: number, size: number): Address | null {
  length.writeInt32LE(size, 0)
  if (libc()!.getsockopt(fd, level, SO_ORIGINAL_DST, buffer, length) < 0) return null
  return decodeSocketAddress(buffer)
}

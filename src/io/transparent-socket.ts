import { constants } from 'node:os'
import type { Address, UpstreamSource } from './connection.ts'
import { type Libc, libc } from './libc.ts'
import { IP_TRANSPARENT, IPPROTO_IP, IPPROTO_IPV6, IPV6_TRANSPARENT, SOCK_STREAM, SOL_SOCKET } from './listen-socket.ts'
import { AF_INET6, encodeSocketAddress, familyOf } from './socket-address.ts'

const SO_MARK = 36
const IP_BIND_ADDRESS_NO_PORT = 24

const length = Buffer.alloc(4)
const value = Buffer.alloc(4)

/**
 * A socket to connect to `to` from an address that need not be this machine's. Needs CAP_NET_ADMIN, and routing that brings the
 * answers back. @returns the descriptor, which the caller owns, or a negative errno as libuv has them
 */
export function transparentSocket({ address, mark }: UpstreamSource, to: Address): number {
  const c = libc()
  const raw = encodeSocketAddress(address)
  if (c === null || raw === null) return -constants.errno.ENOTSUP
  const v6 = familyOf(to) === AF_INET6
  const fd = c.socket(familyOf(to), SOCK_STREAM)
  if (fd < 0) return c.errno()
  // Without it a bound port is taken from all destinations at once, and they run out.
  if (address.port === 0) set(c, fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
  if (
    set(c, fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1) &&
    (mark === 0 || set(c, fd, SOL_SOCKET, SO_MARK, mark)) &&
    c.bind(fd, raw, raw.length) === 0
  ) {
    return fd
  }
  const error = c.errno()
  c.close(fd)
  return error
}

/**
 * Whether an accepted socket may have any address, as those of a transparent listener: what iptables TPROXY sends here keeps the
 * address that the client meant, and netfilter has translated nothing.
 */
export function isTransparent(fd: number, ipv6: boolean): boolean {
  const c = libc()
  if (c === null || fd < 0) return false
  length.writeInt32LE(4)
  const asked = ipv6
    ? c.getsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, value, length)
    : c.getsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, value, length)
  return asked === 0 && value.readInt32LE(0) !== 0
}

function set(c: Libc, fd: number, level: number, name: number, to: number): boolean {
  value.writeInt32LE(to | 0)
  return c.setsockopt(fd, level, name, value, 4) === 0
}

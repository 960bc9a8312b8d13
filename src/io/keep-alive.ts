import { libc } from './libc.ts'
import { IPPROTO_TCP, SOL_SOCKET } from './listen-socket.ts'

const SO_KEEPALIVE = 9
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6

const value = Buffer.alloc(4)

/**
 * Has the kernel probe an idle peer (tcp(7)). Times in seconds, null leaves the system's value. Without effect on what is no TCP socket;
 * ends of internal connections have no descriptor at all.
 */
export function keepAlive(fd: number, probes: number | null, time: number | null, interval: number | null): void {
  if (fd < 0) return
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
  if (probes !== null) set(fd, IPPROTO_TCP, TCP_KEEPCNT, probes)
  if (time !== null) set(fd, IPPROTO_TCP, TCP_KEEPIDLE, time)
  if (interval !== null) set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval)
}

function set(fd: number, level: number, name: number, to: number): void {
  value.writeInt32LE(to | 0)
  libc()?.setsockopt(fd, level, name, value, 4)
}

import { isPipe } from './address.ts'
import type { Address } from './connection.ts'

/** glibc's strerror texts, which Envoy puts into its messages, by Node's error code. */
const TEXT: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EAGAIN: 'Resource temporarily unavailable',
  EBADF: 'Bad file descriptor',
  ECONNABORTED: 'Software caused connection abort',
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EEXIST: 'File exists',
  EHOSTUNREACH: 'No route to host',
  EINVAL: 'Invalid argument',
  EMFILE: 'Too many open files',
  ENAMETOOLONG: 'File name too long',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  ENFILE: 'Too many open files in system',
  ENOBUFS: 'No buffer space available',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  ENOPROTOOPT: 'Protocol not available',
  ENOTCONN: 'Transport endpoint is not connected',
  ENOTDIR: 'Not a directory',
  ENOTSOCK: 'Socket operation on non-socket',
  EPERM: 'Operation not permitted',
  EPIPE: 'Broken pipe',
  EPROTONOSUPPORT: 'Protocol not supported',
  ETIMEDOUT: 'Connection timed out',
}

/** `code` is Node's (`ECONNREFUSED`); an unknown one is given back as it is. */
export function strerror(code: string): string {
  return TEXT[code] ?? code
}

/** `syscall` of an error that came after connect(2) had begun: it is read from the socket. */
export const LATE_CONNECT = 'getsockopt'

/**
 * Envoy tells errors of connect(2) itself from those that epoll reports later (`call`: `LATE_CONNECT`), of which Unix sockets know
 * none. Blanks stay; formatters replace them.
 */
export function connectFailure(code: string, call: string | undefined, remote: Address): string {
  if (!isPipe(remote) && call === LATE_CONNECT) return `delayed connect error: ${strerror(code)}`
  return `immediate connect error: ${strerror(code)}|remote address:${remote.text}`
}

import { libc } from './libc.ts'
import { IPPROTO_TCP } from './listen-socket.ts'

const TCP_INFO = 11

/** Counts of one TCP connection since it began, by the kernel (struct tcp_info of linux/tcp.h). */
export interface TcpInfo {
  unackedSegments: number
  unsentBytes: number
  retransmittedSegments: number
  bytesReceived: number
  bytesSent: number
  segmentsOut: number
  segmentsIn: number
  dataSegmentsOut: number
  dataSegmentsIn: number
  /** Microseconds; smoothed. */
  rtt: number
  rttVariance: number
}

/** Up to tcpi_bytes_sent, which Linux has since 4.19. */
const SIZE = 208
const buffer = Buffer.alloc(256)
const length = Buffer.alloc(4)

/** Null: it is no TCP socket, or this is no Linux. The object is used again by the next call. */
export function tcpInfo(fd: number): TcpInfo | null {
  const c = libc()
  if (c === null || fd < 0) return null
  length.writeInt32LE(buffer.length, 0)
  if (c.getsockopt(fd, IPPROTO_TCP, TCP_INFO, buffer, length) < 0 || length.readInt32LE(0) < SIZE) return null
  info.unackedSegments = u32(24)
  info.rtt = u32(68)
  info.rttVariance = u32(72)
  info.retransmittedSegments = u32(100)
  info.bytesReceived = u64(128)
  info.segmentsOut = u32(136)
  info.segmentsIn = u32(140)
  info.unsentBytes = u32(144)
  info.dataSegmentsIn = u32(152)
  info.dataSegmentsOut = u32(156)
  info.bytesSent = u64(200)
  return info
}

/** Segments that came after a count of them: it has 32 bits, and begins anew after some terabytes. */
export function segmentsSince(before: number, now: number): number {
  return (now - before) >>> 0
}

const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
const LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

function u32(at: number): number {
  return view.getUint32(at, LITTLE)
}

function u64(at: number): number {
  return Number(view.getBigUint64(at, LITTLE))
}

const info: TcpInfo = {
  unackedSegments: 0,
  unsentBytes: 0,
  retransmittedSegments: 0,
  bytesReceived: 0,
  bytesSent: 0,
  segmentsOut: 0,
  segmentsIn: 0,
  dataSegmentsOut: 0,
  dataSegmentsIn: 0,
  rtt: 0,
  rttVariance: 0,
}

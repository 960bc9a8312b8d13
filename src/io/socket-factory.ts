import net from 'node:net'
import { ipAddress, pipeAddress } from './address.ts'
import type { Address } from './connection.ts'
import { onRead } from './socket-events.ts'
import type { SocketLoop } from './socket-loop.ts'
export const NO_ADDRESS: Address = pipeAddress('')

/** `handle`: of an accepted connection, as libuv's handle or as a descriptor that it takes over; undefined for one that is to connect. */
export function newSocket(loop: SocketLoop, handle: unknown): net.Socket {
  const options: Record<string, unknown> = {
    allowHalfOpen: true,
    noDelay: true,
    onread: { buffer: loop.readBuffer, callback: onRead },
  }
  if (handle !== undefined) {
    options[typeof handle === 'number' ? 'fd' : 'handle'] = handle
    options['readable'] = true
    options['writable'] = true
    options['manualStart'] = true
  }
  return new net.Socket(options as net.SocketConstructorOpts)
}

export function peerAddress(socket: net.Socket): Address {
  const ip = socket.remoteAddress
  return ip === undefined ? NO_ADDRESS : ipAddress(ip, socket.remotePort ?? 0)
}

export function localAddress(socket: net.Socket): Address {
  const ip = socket.localAddress
  return ip === undefined ? NO_ADDRESS : ipAddress(ip, socket.localPort ?? 0)
}

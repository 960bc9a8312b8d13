import { isIP } from 'node:net'
import type { Address } from './connection.ts'

const MAPPED = '::ffff:'

/** `ip` without brackets; an IPv4-mapped IPv6 address of a dual-stack socket becomes IPv4, as in Envoy. */
export function ipAddress(ip: string, port: number): Address {
  return literalAddress(ip.startsWith(MAPPED) && ip.includes('.') ? ip.slice(MAPPED.length) : ip, port)
}

/** As `ipAddress`, but an IPv4-mapped address stays what somebody has called it: one of IPv6. */
export function literalAddress(ip: string, port: number): Address {
  return { ip, port, text: ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}` }
}

/** Unix socket; '' for the unnamed end. */
export function pipeAddress(path: string): Address {
  return { ip: path, port: 0, text: path }
}

/** An internal listener of this process, by its name; `endpointId` tells endpoints behind one listener apart. */
export function internalAddress(listener: string, endpointId: string): Address {
  const text = `envoy://${listener}/${endpointId}`
  return { ip: text, port: 0, text, internal: { listener, endpointId } }
}

/** Not of IP: local by nature. Only such texts lack a port; a path may be relative, like those of Istio's sockets. */
export function isPipe(address: Address): boolean {
  return address.text === address.ip
}

/** `1.2.3.4:80` or `[::1]:80`; null for anything else. */
export function parseHostPort(text: string): Address | null {
  const colon = text.lastIndexOf(':')
  if (colon < 1) return null
  const port = text.slice(colon + 1)
  let ip = text.slice(0, colon)
  if (ip.startsWith('[') && ip.endsWith(']')) ip = ip.slice(1, -1)
  else if (ip.includes(':')) return null
  if (isIP(ip) === 0 || !/^[0-9]{1,5}$/.test(port) || Number(port) > 65535) return null
  return ipAddress(ip.toLowerCase(), Number(port))
}

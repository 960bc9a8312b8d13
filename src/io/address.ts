import type { Address } from './connection.ts'

const MAPPED = '::ffff:'

/** `ip` without brackets; an IPv4-mapped IPv6 address of a dual-stack socket becomes IPv4, as in Envoy. */
export function ipAddress(ip: string, port: number): Address {
  if (ip.startsWith(MAPPED) && ip.includes('.')) ip = ip.slice(MAPPED.length)
  return { ip, port, text: ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}` }
}

/** Unix socket; '' for the unnamed end. */
export function pipeAddress(path: string): Address {
  return { ip: path, port: 0, text: path }
}

export function isPipe(address: Address): boolean {
  return address.ip === '' || address.ip[0] === '/' || address.ip[0] === '@'
}

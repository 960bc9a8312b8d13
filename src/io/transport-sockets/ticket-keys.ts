import { closeSync, openSync, readSync } from 'node:fs'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'
import { lazyCrypto } from '../../base/lazy-modules.ts'

const SECRET = 'remora.tls.ticket-secret'

/** Every worker must open the tickets of every other: main draws one secret before it starts workers, which inherit it. */
export function drawTicketSecret(): void {
  if (getEnvironmentData(SECRET) === undefined) setEnvironmentData(SECRET, randomSecret())
}

/**
 * 48 bytes for Node. Different `context` (certificates, trust, requirements), different keys: a ticket of a listener that asks
 * for less must not open one that asks for more.
 */
export function processTicketKeys(context: Uint8Array): Buffer {
  let secret = getEnvironmentData(SECRET) as Uint8Array | undefined
  if (secret === undefined) {
    secret = randomSecret()
    setEnvironmentData(SECRET, secret)
  }
  return Buffer.from(lazyCrypto().hkdfSync('sha256', secret, context, 'tls session tickets', 48))
}

/** Envoy's 80 bytes (name 16, HMAC 32, AES 32) do not fit Node's 48: derived, so that all Remoras with the key agree. */
export function configuredTicketKeys(key: Uint8Array, context: Uint8Array): Buffer {
  return Buffer.from(lazyCrypto().hkdfSync('sha256', key, context, 'tls session tickets', 48))
}

/** From the kernel where that is a file: node:crypto takes 10 ms to load, and most processes never make a ticket. */
function randomSecret(): Uint8Array {
  const bytes = new Uint8Array(32)
  let fd = -1
  try {
    fd = openSync('/dev/urandom', 'r')
    if (readSync(fd, bytes) === bytes.length) return bytes
  } catch {
    // No such device here.
  } finally {
    if (fd >= 0) closeSync(fd)
  }
  return lazyCrypto().randomBytes(32)
}

import { hkdfSync, randomBytes } from 'node:crypto'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'

const SECRET = 'remora.tls.ticket-secret'

// Every worker must open the tickets of every other. Main draws one secret before it starts workers, which inherit it.
if (isMainThread && getEnvironmentData(SECRET) === undefined) setEnvironmentData(SECRET, randomBytes(32))

/**
 * 48 bytes for Node. Different `context` (certificates, trust, requirements), different keys: a ticket of a listener that asks
 * for less must not open one that asks for more.
 */
export function processTicketKeys(context: Uint8Array): Buffer {
  let secret = getEnvironmentData(SECRET) as Uint8Array | undefined
  if (secret === undefined) {
    secret = randomBytes(32)
    setEnvironmentData(SECRET, secret)
  }
  return Buffer.from(hkdfSync('sha256', secret, context, 'tls session tickets', 48))
}

/** Envoy's 80 bytes (name 16, HMAC 32, AES 32) do not fit Node's 48: derived, so that all Remoras with the key agree. */
export function configuredTicketKeys(key: Uint8Array, context: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', key, context, 'tls session tickets', 48))
}

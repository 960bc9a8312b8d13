import { lazyCrypto } from '../../base/lazy-modules.ts'

/** Of NSS's key log: what a server encrypts application data with (RFC 8446 §7.1). */
const LABEL = 'SERVER_TRAFFIC_SECRET_0 '

const ALERT = 21
const APPLICATION_DATA = 23
const FATAL = 2
const TAG = 16

/** The secret (hex) in a line that node:tls gives to `keylog`; '' when the line is about something else. */
export function serverSecretOf(line: Buffer): string {
  const text = line.toString('latin1')
  if (!text.startsWith(LABEL)) return ''
  return text.slice(text.indexOf(' ', LABEL.length) + 1).trim()
}

/**
 * A fatal alert as the first record that a TLS 1.3 server encrypts after the handshake (RFC 8446 §5.2, §6.2), latin1. Node cannot be
 * told to send one, and a client that is refused only after its last flight takes no other.
 */
export function encryptedAlert(secret: string, cipher: string, code: number): string {
  const { createCipheriv } = lazyCrypto()
  const [algorithm, length, hash] = SUITES[cipher] ?? ['', 0, '']
  if (secret === '' || algorithm === '') return ''
  const bytes = Buffer.from(secret, 'hex')
  const key = expandLabel(hash, bytes, 'key', length)
  // The nonce is the IV xor the number of the record: 0.
  const nonce = expandLabel(hash, bytes, 'iv', 12)
  const head = Buffer.from([APPLICATION_DATA, 3, 3, 0, 3 + TAG])
  const seal = createCipheriv(algorithm as 'aes-128-gcm', key, nonce, { authTagLength: TAG })
  seal.setAAD(head)
  const body = seal.update(Buffer.from([FATAL, code, ALERT]))
  seal.final()
  return Buffer.concat([head, body, seal.getAuthTag()]).toString('latin1')
}

/** Node's cipher, its key length, the hash of the key schedule (RFC 8446 §B.4). */
const SUITES: Readonly<Record<string, readonly [string, number, string]>> = {
  TLS_AES_128_GCM_SHA256: ['aes-128-gcm', 16, 'sha256'],
  TLS_AES_256_GCM_SHA384: ['aes-256-gcm', 32, 'sha384'],
  TLS_CHACHA20_POLY1305_SHA256: ['chacha20-poly1305', 32, 'sha256'],
}

/** HKDF-Expand-Label (RFC 8446 §7.1) with an empty context; `length` is at most one block of the hash. */
function expandLabel(hash: string, secret: Buffer, label: string, length: number): Buffer {
  const name = `tls13 ${label}`
  const info = Buffer.from(`\0${String.fromCharCode(length, name.length)}${name}\0\x01`, 'latin1')
  return lazyCrypto().createHmac(hash, secret).update(info).digest().subarray(0, length)
}

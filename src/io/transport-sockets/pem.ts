import type { X509Certificate } from 'node:crypto'
import { lazyCrypto } from '../../base/lazy-modules.ts'

const CERTIFICATE =
  /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g

/** True when the text holds at least one certificate and every block of it can be read. */
export function isCertificates(pem: Uint8Array): boolean {
  return readCertificates(pem) !== null
}

/** All certificates of a PEM text in order; null when there is none or one is damaged. */
export function readCertificates(pem: Uint8Array): X509Certificate[] | null {
  const blocks = Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength).toString('latin1').match(CERTIFICATE)
  if (blocks === null) return null
  const { X509Certificate } = lazyCrypto()
  try {
    return blocks.map(block => new X509Certificate(block))
  } catch {
    return null
  }
}

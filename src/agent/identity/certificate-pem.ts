import { createPrivateKey, X509Certificate } from 'node:crypto'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/** The certificates of a PEM text, each without white space around it. */
export function splitCertificates(pem: string): string[] {
  return (pem.match(CERTIFICATE) ?? []).map(block => block.trim())
}

/** The bundle as Istio serves it: every certificate once, sorted, so that equal sets are equal bytes. */
export function mergeRoots(pems: readonly string[]): string {
  const all = new Set(pems.flatMap(splitCertificates))
  return [...all].sort().join('\n')
}

/**
 * The certificates that can be read, and why the others cannot: a bundle of many issuers must not fail because of one
 * odd certificate in it.
 */
export function readableRoots(pem: string): { roots: string; errors: string[] } {
  const good: string[] = []
  const errors: string[] = []
  for (const certificate of splitCertificates(pem)) {
    try {
      new X509Certificate(certificate)
      good.push(`${certificate}\n`)
    } catch (error) {
      errors.push((error as Error).message)
    }
  }
  return { roots: good.join(''), errors }
}

/** Milliseconds since the epoch, of the first certificate. Throws Error. */
export function expiryOf(chainPem: string): number {
  return new X509Certificate(chainPem).validToDate.getTime()
}

/** Throws Error unless the key is that of the first certificate. */
export function requireMatch(chainPem: string, keyPem: string): void {
  if (!new X509Certificate(chainPem).checkPrivateKey(createPrivateKey(keyPem))) {
    throw new Error('private key does not match public key')
  }
}

/** One text, every certificate on a line of its own. */
export function concatenate(pems: readonly string[]): string {
  return pems.map((pem, index) => (index < pems.length - 1 && !pem.endsWith('\n') ? `${pem}\n` : pem)).join('')
}

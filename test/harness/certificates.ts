import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Test certificates, all signed by `ca` and valid for a century: `server` (lab.test, *.lab.test, 127.0.0.1, a SPIFFE
 * id), `other` (other.test only), `client` (a SPIFFE id and a DNS name); `stranger` is signed by nobody,
 * and so is `rsa`, whose key is RSA where those of the others are P-256.
 */
export function certificatePath(file: string): string {
  return join(import.meta.dirname, 'certs', file)
}

export function certificate(name: string): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(certificatePath(`${name}.pem`)), key: readFileSync(certificatePath(`${name}.key`)) }
}

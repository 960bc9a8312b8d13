import { lazyCrypto } from '../base/lazy-modules.ts'
import type { SecretData } from '../config/services.ts'
import { type TransportLayer, transportLayers } from '../io/transport-sockets/layers.ts'

const DAY = 86_400_000
/** `server.days_until_first_cert_expiring` when there is no certificate. */
export const NEVER = 4294967295

/** A parsed TLS transport socket. */
interface ParsedTls {
  readonly certificates?: readonly { readonly chain: Uint8Array }[]
  readonly validation?: { readonly trusted_ca?: { readonly inline_bytes?: Uint8Array } } | null
}

/**
 * Days until the first certificate expires, of those of the proxy and of the authorities it trusts; the first of each text counts
 * (SslContextManager::daysUntilFirstCertExpires). Expired ones have 0 days. Looks into each text once.
 */
export class CertificateExpiry {
  /** Wall clock, ms since the epoch. */
  readonly #ends = new WeakMap<Uint8Array, number>()

  days(sockets: Iterable<TransportLayer | null | undefined>, secrets: readonly SecretData[], now: number): number {
    let first = Number.POSITIVE_INFINITY
    for (const socket of sockets) {
      if (socket == null) continue
      for (const { config } of transportLayers(socket)) {
        const { certificates = [], validation } = (config ?? {}) as ParsedTls
        for (const { chain } of certificates) first = Math.min(first, this.#end(chain))
        first = Math.min(first, this.#end(validation?.trusted_ca?.inline_bytes))
      }
    }
    for (const { tlsCertificate, validationContext } of secrets) {
      const trusted = (validationContext as NonNullable<ParsedTls['validation']> | undefined)?.trusted_ca
      first = Math.min(first, this.#end(tlsCertificate?.certificateChain), this.#end(trusted?.inline_bytes))
    }
    return first === Number.POSITIVE_INFINITY ? NEVER : Math.max(0, Math.floor((first - now) / DAY))
  }

  #end(pem: Uint8Array | undefined): number {
    if (pem === undefined || pem.length === 0) return Number.POSITIVE_INFINITY
    const known = this.#ends.get(pem)
    if (known !== undefined) return known
    let end: number
    try {
      end = Date.parse(new (lazyCrypto().X509Certificate)(pem).validTo)
    } catch {
      // What cannot be read was refused, or is a key store without certificates.
      end = Number.POSITIVE_INFINITY
    }
    this.#ends.set(pem, end)
    return end
  }
}

import type { X509Certificate } from 'node:crypto'
import type tls from 'node:tls'
import { lazyCrypto } from '../../base/lazy-modules.ts'
import { namesOf, type SubjectAltName } from './certificate.ts'
import { dnsNameMatch, SanMatcher } from './san-matcher.ts'
import { PEER_WITHOUT_CERTIFICATE, tlsErrorText, verifyAlert, verifyErrorText } from './tls-errors.ts'
import type { TlsStats } from './tls-stats.ts'
import type { ValidationConfig } from './validation.ts'

/** A handle of node:tls that knows OpenSSL's verdict on the chain; `authorizationError` is filled for some sockets only. */
interface Verdict {
  verifyError(): (Error & { code?: string }) | null
}

/**
 * Envoy's default certificate validator. Node completes the handshake first and is asked then, before any byte of the
 * application passes; the alert for a refused client is made by hand (tls-server.ts).
 */
export class PeerVerifier {
  readonly #config: ValidationConfig
  readonly #sans: SanMatcher | null
  readonly #require: boolean

  /** `require`: no certificate is a failure too (clients always have one from their server). */
  constructor(config: ValidationConfig, require: boolean) {
    this.#config = config
    this.#sans = config.sans.length > 0 ? new SanMatcher(config.sans) : null
    this.#require = require
  }

  /** True when the chain is checked against anything: else a certificate is not even asked for. */
  get active(): boolean {
    const c = this.#config
    return this.#require || c.ca !== null || c.systemRoots || c.hashes.length > 0 || c.spki.length > 0
  }

  get verifiesChain(): boolean {
    return this.#config.ca !== null || this.#config.systemRoots
  }

  /** '' = accepted; else the transport failure text. `dnsName` '' or the name that auto_sni_san_validation demands. */
  verify(socket: tls.TLSSocket, peer: X509Certificate | undefined, dnsName: string, stats: TlsStats): string {
    if (peer === undefined) {
      stats.noCertificate.inc()
      if (!this.#require) return ''
      stats.failVerifyNoCert.inc()
      return PEER_WITHOUT_CERTIFICATE
    }
    const failure = this.#check(socket, peer, dnsName, stats)
    if (failure === '' || this.#config.acceptUntrusted) return ''
    return tlsErrorText('CERTIFICATE_VERIFY_FAILED', `verify cert failed: ${failure}`)
  }

  /** The TLS alert (RFC 5246 §7.2.2) for a peer that `verify` has refused. */
  alert(socket: tls.TLSSocket): number {
    if (!this.verifiesChain) return verifyAlert('')
    const error = (socket as unknown as { _handle: Verdict | null })._handle?.verifyError()
    return verifyAlert(error === null ? '' : (error?.code ?? ''))
  }

  /** What would have been right and what came, for the log. */
  explain(peer: X509Certificate | undefined): string {
    const expected = this.#sans === null ? 'a certificate of the trusted CA' : this.#sans.expected
    if (peer === undefined) return `expected ${expected}, the peer presented no certificate`
    const names = namesOf(peer)
    return `expected ${expected}; presented subject '${names.subject}' of issuer '${names.issuer}', names [${names.sans.map(s => s.value).join(', ')}]`
  }

  #check(socket: tls.TLSSocket, peer: X509Certificate, dnsName: string, stats: TlsStats): string {
    const config = this.#config
    if (this.verifiesChain) {
      const failure = this.#chainFailure(socket, peer)
      if (failure !== '') {
        stats.failVerifyError.inc()
        return failure
      }
    }
    if (this.#sans !== null || dnsName !== '') {
      const { sans } = namesOf(peer)
      const fits = dnsName !== '' ? hasDnsName(sans, dnsName) : this.#sans!.matches(sans)
      if (!fits) {
        stats.failVerifySan.inc()
        const presented = sans.map(s => s.value).join(', ')
        return dnsName !== ''
          ? `verify SAN list, expected SANs: [${dnsName}], certificate SANs: [${presented}]`
          : `SAN matcher, certificate SANs are [${presented}]`
      }
    }
    if (config.hashes.length === 0 && config.spki.length === 0) return ''
    if (
      config.hashes.length > 0 &&
      config.hashes.includes(lazyCrypto().createHash('sha256').update(peer.raw).digest('hex'))
    )
      return ''
    if (config.spki.length > 0) {
      const spki = peer.publicKey.export({ type: 'spki', format: 'der' })
      if (config.spki.includes(lazyCrypto().createHash('sha256').update(spki).digest('base64'))) return ''
    }
    stats.failVerifyCertHash.inc()
    return 'cert hash and spki'
  }

  #chainFailure(socket: tls.TLSSocket, peer: X509Certificate): string {
    const error = (socket as unknown as { _handle: Verdict | null })._handle?.verifyError()
    if (error === null) {
      const { maxDepth } = this.#config
      // Intermediates are what stands between leaf and trust anchor.
      if (maxDepth < 0 || chainOf(peer).length - 2 <= maxDepth) return ''
      return `X509_verify_cert: certificate verification error at depth ${maxDepth + 1}: certificate chain too long`
    }
    const code = error?.code ?? 'UNSPECIFIED'
    const text = verifyErrorText(code)
    return `X509_verify_cert: certificate verification error at depth ${depthOf(code, chainOf(peer))}: ${text}`
  }
}

function hasDnsName(sans: readonly SubjectAltName[], name: string): boolean {
  return sans.some(s => s.type === 'DNS' && dnsNameMatch(name, s.value))
}

function chainOf(peer: X509Certificate): X509Certificate[] {
  const chain = [peer]
  for (let c = peer.issuerCertificate; c !== undefined && chain.length < 100; c = c.issuerCertificate) {
    if (chain.at(-1)!.raw.equals(c.raw)) break
    chain.push(c)
  }
  return chain
}

/** OpenSSL does not tell Node where in the chain it was. */
function depthOf(code: string, chain: readonly X509Certificate[]): number {
  if (code === 'SELF_SIGNED_CERT_IN_CHAIN') return chain.length - 1
  if (code === 'CERT_HAS_EXPIRED') {
    const now = Date.now()
    const at = chain.findIndex(c => c.validToDate.getTime() < now)
    return Math.max(at, 0)
  }
  return 0
}

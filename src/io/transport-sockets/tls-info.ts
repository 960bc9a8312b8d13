import type { X509Certificate } from 'node:crypto'
import type tls from 'node:tls'
import type { TlsInfo } from '../connection.ts'
import { type CertificateNames, namesOf, type SubjectAltName, sessionIdOf } from './certificate.ts'

/** What `tls-context.ts` knows of the certificate that this side showed. */
export interface LocalCertificate {
  readonly names: CertificateNames
}

/** What a handshake says of itself, finished or not. */
export type HandshakeFacts = Pick<
  tls.TLSSocket,
  'getProtocol' | 'getCipher' | 'isSessionReused' | 'getSession' | 'alpnProtocol'
>

const NONE: readonly string[] = []

/**
 * Facts of one handshake. Most connections never ask for most of them, so certificates are read on first use; what
 * needs the live socket is taken at once.
 */
export class TlsSession implements TlsInfo {
  handshakeEnd = -1
  readonly version: string
  readonly cipher: string
  readonly resumed: boolean
  readonly sni: string
  readonly alpn: string
  readonly peerCertificateValidated: boolean
  readonly #session: Buffer | undefined
  readonly #peer: X509Certificate | undefined
  readonly #local: LocalCertificate | null

  constructor(
    socket: HandshakeFacts,
    sni: string,
    peer: X509Certificate | undefined,
    local: LocalCertificate | null,
    validated: boolean,
  ) {
    this.version = socket.getProtocol() ?? ''
    this.cipher = socket.getCipher()?.name ?? ''
    this.resumed = socket.isSessionReused()
    this.sni = sni
    this.alpn = typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : ''
    // TLS 1.3 has no session id that both sides know; Envoy prints none either.
    this.#session = this.version === 'TLSv1.3' ? undefined : socket.getSession()
    this.#peer = peer
    this.#local = local
    this.peerCertificateValidated = validated
  }

  get sessionId(): string {
    return sessionIdOf(this.#session)
  }

  get peerCertificatePresented(): boolean {
    return this.#peer !== undefined
  }

  get peerCertificate(): Uint8Array | null {
    return this.#peer?.raw ?? null
  }

  get peerCertificateChainPem(): string {
    let pem = ''
    // The chain is as long as the peer made it: OpenSSL has bounded it by its own maximum before.
    for (let cert = this.#peer; cert !== undefined && pem.length < 1 << 20; cert = cert.issuerCertificate) {
      pem += cert.toString()
      if (cert.issuerCertificate === cert) break
    }
    return pem
  }

  get peerUriSans(): readonly string[] {
    return sansOf(this.#peerNames()?.sans, 'URI')
  }

  get peerDnsSans(): readonly string[] {
    return sansOf(this.#peerNames()?.sans, 'DNS')
  }

  get peerIpSans(): readonly string[] {
    return sansOf(this.#peerNames()?.sans, 'IP_ADDRESS')
  }

  get peerEmailSans(): readonly string[] {
    return sansOf(this.#peerNames()?.sans, 'EMAIL')
  }

  get peerSubject(): string {
    return this.#peerNames()?.subject ?? ''
  }

  get peerIssuer(): string {
    return this.#peerNames()?.issuer ?? ''
  }

  get peerSerial(): string {
    return this.#peerNames()?.serial ?? ''
  }

  get peerSha256(): string {
    return hex(this.#peer?.fingerprint256)
  }

  get peerSha1(): string {
    return hex(this.#peer?.fingerprint)
  }

  get peerValidFrom(): number {
    return this.#peer?.validFromDate.getTime() ?? 0
  }

  get peerValidTo(): number {
    return this.#peer?.validToDate.getTime() ?? 0
  }

  get localUriSans(): readonly string[] {
    return sansOf(this.#local?.names.sans, 'URI')
  }

  get localDnsSans(): readonly string[] {
    return sansOf(this.#local?.names.sans, 'DNS')
  }

  get localIpSans(): readonly string[] {
    return sansOf(this.#local?.names.sans, 'IP_ADDRESS')
  }

  get localEmailSans(): readonly string[] {
    return sansOf(this.#local?.names.sans, 'EMAIL')
  }

  get localSubject(): string {
    return this.#local?.names.subject ?? ''
  }

  #peerNames(): CertificateNames | null {
    if (this.#peer === undefined) return null
    return namesOf(this.#peer)
  }
}

function sansOf(sans: readonly SubjectAltName[] | undefined, type: SubjectAltName['type']): readonly string[] {
  if (sans === undefined) return NONE
  return sans.filter(s => s.type === type).map(s => s.value)
}

/** `AA:BB` of Node as `aabb` of Envoy. */
function hex(fingerprint: string | undefined): string {
  return fingerprint === undefined ? '' : fingerprint.replaceAll(':', '').toLowerCase()
}

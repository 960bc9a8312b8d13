import type { X509Certificate } from 'node:crypto'
import type net from 'node:net'
import type tls from 'node:tls'
import { lazyCrypto, lazyTls } from '../../base/lazy-modules.ts'
import type { WorkerServices } from '../../config/services.ts'
import type { StatsScope } from '../../stats/stats.ts'
import type { TlsDriver } from '../connect-options.ts'
import type { TlsInfo } from '../connection.ts'
import type { SocketConnection } from '../socket-connection.ts'
import { namesOf } from './certificate.ts'
import { agreedCurve, printedCurve, serverGroups } from './cipher-names.ts'
import type { ClientHello } from './client-hello.ts'
import { encryptedAlert, serverSecretOf } from './encrypted-alert.ts'
import { dnsNameMatch } from './san-matcher.ts'
import { signatureAlgorithm } from './signature-algorithms.ts'
import { configuredTicketKeys, processTicketKeys, ticketPeriod, useTicketKeys } from './ticket-keys.ts'
import type { DownstreamTlsConfig } from './tls-config.ts'
import { baseOptions, type LoadedCertificate, TlsContext, type TlsMaterial, withCertificates } from './tls-context.ts'
import { handshakeErrorText, PEER_WITHOUT_CERTIFICATE } from './tls-errors.ts'
import { type HandshakeFacts, TlsSession } from './tls-info.ts'

/** seconds; BoringSSL's `SSL_DEFAULT_SESSION_PSK_DHE_TIMEOUT` */
const TLS13_SESSION_LIFETIME = 2 * 24 * 3600

interface ServerContext {
  readonly secure: tls.SecureContext
  readonly local: LoadedCertificate
}

/** DownstreamTlsContext at work on one filter chain. The ClientHello has been read before: `connection.clientHello` is set. */
export class ServerTls implements TlsDriver {
  readonly #config: DownstreamTlsConfig
  readonly #context: TlsContext
  readonly #owner: string
  /** By certificates that fit the server name, and by whether the client speaks TLS 1.3. */
  #contexts = new Map<string, ServerContext>()
  /** In which period the ticket keys of `#contexts` are the newest. */
  #period = ticketPeriod()

  /** `scope`: `listener.<address>.`; `owner`: the filter chain. Tickets of one are not taken by another. */
  constructor(config: DownstreamTlsConfig, scope: StatsScope, services: WorkerServices, owner: string) {
    this.#config = config
    this.#owner = owner
    const tickets = config.ticketKeySecret === '' ? [] : [config.ticketKeySecret]
    this.#context = new TlsContext(config, scope, services, true, config.requireClientCertificate, tickets)
    this.#context.onChange = () => {
      this.#contexts = new Map()
    }
  }

  wrap(socket: net.Socket, connection: SocketConnection): tls.TLSSocket | null {
    const material = this.#context.material()
    if (material === null) {
      this.#context.stats.secretsNotReady.inc()
      connection.transportFailure = 'TLS error: Secret is not supplied by SDS'
      return null
    }
    const hello = connection.clientHello
    const name = hello?.serverName ?? ''
    if (this.#config.requireSni && name === '') {
      this.#context.stats.connectionError.inc()
      return null
    }
    const tls13 = this.#speaks13(hello)
    const { secure, local } = this.#pick(material, name, tls13)
    connection.localCertificate = local
    const secured = new (lazyTls().TLSSocket)(socket, {
      isServer: true,
      secureContext: secure,
      requestCert: material.verifier.active,
      // Makes OpenSSL refuse clients without a certificate. Certificates are judged in onSecure: Node lets them all pass.
      rejectUnauthorized: this.#config.requireClientCertificate,
      ALPNProtocols: this.#alpn(hello?.alpn),
    })
    if (material.verifier.active && tls13) secured.on('keylog', keepSecret)
    return secured
  }

  onSecure(socket: tls.TLSSocket, connection: SocketConnection): TlsInfo | null {
    const { stats } = this.#context
    const material = this.#context.material()!
    const peer = socket.getPeerX509Certificate()
    const failure = material.verifier.active ? material.verifier.verify(socket, peer, '', stats) : ''
    if (failure !== '') {
      connection.transportFailure = failure
      connection.refusalAlert = refusal(socket, material.verifier.alert(socket))
      connection.tls = sessionOf(connection, socket, peer, false)
      this.#context.warn(connection.remote.text, `${failure}; ${material.verifier.explain(peer)}`)
      return null
    }
    SECRETS.delete(socket)
    if (!material.verifier.active) stats.noCertificate.inc()
    stats.handshake.inc()
    const validated = peer !== undefined && material.verifier.verifiesChain && !material.validation.acceptUntrusted
    const info = sessionOf(connection, socket, peer, validated)
    if (info.resumed) stats.sessionReused.inc()
    stats.seen('ciphers', info.cipher)
    stats.seen('versions', info.version)
    const tls13 = info.version === 'TLSv1.3'
    if (peer !== undefined)
      stats.seen('sigalgs', signatureAlgorithm(this.#config.signatureAlgorithms, namesOf(peer).key, tls13))
    // Only with (EC)DHE; RSA key exchange has no group.
    if (tls13 || info.cipher.startsWith('ECDHE-')) {
      const groups = connection.clientHello?.groups ?? []
      stats.seen('curves', printedCurve(agreedCurve(this.#config.curves, groups, tls13)))
    }
    return info
  }

  onHandshakeError(error: NodeJS.ErrnoException, connection: SocketConnection, socket: tls.TLSSocket | null): string {
    const text = handshakeErrorText(error)
    // A peer that only went away is no TLS error, as in Envoy.
    if (text === '') return text
    const facts = unfinished(this.#speaks13(connection.clientHello), socket)
    connection.tls ??= sessionOf(connection, facts, undefined, false)
    if (error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') {
      this.#context.stats.failVerifyNoCert.inc()
      connection.transportFailure = PEER_WITHOUT_CERTIFICATE
      this.#context.warn(connection.remote.text, `${text}; ${this.#context.material()!.verifier.explain(undefined)}`)
      return PEER_WITHOUT_CERTIFICATE
    }
    this.#context.stats.connectionError.inc()
    this.#context.log.debug(`remote address:${connection.remote.text},${text}`)
    return text
  }

  close(): void {
    this.#context.close()
  }

  /** Both sides do. Without a ClientHello nothing was agreed, which BoringSSL calls TLS 1.2. */
  #speaks13(hello: ClientHello | null): boolean {
    return hello?.tls13 === true && this.#config.maxVersion === 'TLSv1.3'
  }

  /** Only what both sides know: OpenSSL ends the handshake when nothing fits, Envoy goes on without ALPN. */
  #alpn(offers: readonly string[] | undefined): string[] {
    if (offers === undefined) return []
    return this.#config.alpn.filter(name => offers.includes(name))
  }

  #pick(material: TlsMaterial, name: string, tls13: boolean): ServerContext {
    const period = ticketPeriod()
    if (period !== this.#period) {
      this.#period = period
      this.#contexts = new Map()
    }
    const chosen = certificatesFor(material.certificates, name)
    const key = `${chosen.map(c => material.certificates.indexOf(c)).join(',')}${tls13 ? '' : ' 1.2'}`
    let context = this.#contexts.get(key)
    if (context === undefined) {
      context = this.#make(material, chosen, tls13)
      this.#contexts.set(key, context)
    }
    return context
  }

  #make(material: TlsMaterial, chosen: readonly LoadedCertificate[], tls13: boolean): ServerContext {
    const config = this.#config
    const options = baseOptions(config, material)
    options.ecdhCurve = serverGroups(config.curves)
    withCertificates(options, chosen)
    // BoringSSL follows the server's order up to TLS 1.2 and the client's in TLS 1.3.
    if (!tls13 && !config.preferClientCiphers) options.honorCipherOrder = true
    if (!config.tickets) options.secureOptions = lazyCrypto().constants.SSL_OP_NO_TICKET
    // BoringSSL's session_timeout is about TLS 1.2; sessions of TLS 1.3 have a lifetime of their own.
    if (tls13) options.sessionTimeout = TLS13_SESSION_LIFETIME
    else if (config.sessionTimeout > 0) options.sessionTimeout = config.sessionTimeout
    options.sessionIdContext = material.identity.toString('hex').slice(0, 32)
    const secure = lazyTls().createSecureContext(options)
    const inline = config.ticketKeys.length > 0 ? config.ticketKeys : undefined
    const configured = inline ?? this.#context.secret(config.ticketKeySecret)?.sessionTicketKeys ?? []
    useTicketKeys(
      secure,
      configured.length > 0
        ? configuredTicketKeys(configured, material.identity)
        : processTicketKeys(lazyCrypto().createHash('sha256').update(material.identity).update(this.#owner).digest()),
      tls13,
    )
    return { secure, local: chosen[0]! }
  }
}

function sessionOf(
  { clientHello, localCertificate }: SocketConnection,
  facts: HandshakeFacts,
  peer: X509Certificate | undefined,
  validated: boolean,
): TlsSession {
  return new TlsSession(facts, clientHello?.serverName ?? '', peer, localCertificate, validated)
}

/** Until the client is judged: what an alert to it would have to be encrypted with. */
const SECRETS = new WeakMap<tls.TLSSocket, { readonly secret: string; readonly cipher: string }>()

function keepSecret(this: tls.TLSSocket, line: Buffer): void {
  const secret = serverSecretOf(line)
  if (secret !== '') SECRETS.set(this, { secret, cipher: this.getCipher()?.name ?? '' })
}

/** Node lets go of a socket before it tells that the handshake failed: what is known of it besides. */
function unfinished(tls13: boolean, socket: tls.TLSSocket | null): HandshakeFacts {
  const cipher = socket === null ? undefined : SECRETS.get(socket)?.cipher
  return {
    getProtocol: () => (tls13 ? 'TLSv1.3' : 'TLSv1.2'),
    getCipher: () => ({ name: cipher ?? '', standardName: '', version: '' }),
    isSessionReused: () => false,
    getSession: () => undefined,
    alpnProtocol: false,
  }
}

/**
 * Up to TLS 1.2 the client still waits for our Finished, and plain alerts are valid until then. In TLS 1.3 it has all it needs;
 * the tickets, which would be the first records it can decrypt, have not left yet.
 */
function refusal(socket: tls.TLSSocket, code: number): string {
  if (socket.getProtocol() !== 'TLSv1.3') return plainAlert(code)
  return encryptedAlert(SECRETS.get(socket)?.secret ?? '', socket.getCipher().name, code)
}

/** A fatal alert of TLS 1.2 as a record of its own, latin1. */
function plainAlert(code: number): string {
  return String.fromCharCode(21, 3, 3, 0, 2, 2, code)
}

/** Envoy's choice by server name: exact DNS names before wildcards, else the first; one certificate per kind of key. */
function certificatesFor(all: readonly LoadedCertificate[], name: string): readonly LoadedCertificate[] {
  if (all.length === 1) return all
  let fitting: readonly LoadedCertificate[] = []
  if (name !== '') {
    fitting = all.filter(c => dnsNames(c).includes(name))
    if (fitting.length === 0) fitting = all.filter(c => dnsNames(c).some(pattern => dnsNameMatch(name, pattern)))
  }
  if (fitting.length === 0) fitting = all
  const kinds = new Set<string>()
  return fitting.filter(c => {
    if (kinds.has(c.keyType)) return false
    kinds.add(c.keyType)
    return true
  })
}

function dnsNames(c: LoadedCertificate): string[] {
  const names = c.names.sans.filter(s => s.type === 'DNS').map(s => s.value.toLowerCase())
  if (names.length > 0) return names
  const cn = /(?:^|[,+])CN=([^,+]+)/.exec(c.names.subject)
  return cn === null ? [] : [cn[1]!.toLowerCase()]
}

import type { X509Certificate } from 'node:crypto'
import net from 'node:net'
import type tls from 'node:tls'
import { lazyTls } from '../../base/lazy-modules.ts'
import type { WorkerServices } from '../../config/services.ts'
import type { StatsScope } from '../../stats/stats.ts'
import type { TlsDriver } from '../connect-options.ts'
import type { TlsInfo } from '../connection.ts'
import type { SocketConnection } from '../socket-connection.ts'
import { namesOf, sessionVersionOf } from './certificate.ts'
import { clientGroups, printedCurve } from './cipher-names.ts'
import { signatureAlgorithm } from './signature-algorithms.ts'
import type { UpstreamTlsConfig } from './tls-config.ts'
import { baseOptions, type LoadedCertificate, TlsContext, withCertificates } from './tls-context.ts'
import { handshakeErrorText } from './tls-errors.ts'
import { TlsSession } from './tls-info.ts'

/** The version in a session (RFC 8446 §4.1.2). */
const TLS13 = 0x0304

interface KeptSession {
  readonly key: string
  readonly session: Buffer
  readonly peer: X509Certificate
  readonly once: boolean
}

/** The certificates of servers that were accepted, while their connections live. */
const ACCEPTED = new WeakMap<tls.TLSSocket, X509Certificate>()
/** Those of the sessions that were offered: OpenSSL does not know the certificate of a session that comes from outside. */
const OFFERED = new WeakMap<tls.TLSSocket, X509Certificate>()

/** UpstreamTlsContext of one cluster. */
export class ClientTls {
  readonly config: UpstreamTlsConfig
  readonly context: TlsContext
  #secure: tls.SecureContext | null = null
  readonly #drivers = new Map<string, ClientTlsDriver>()
  /** Newest last; at most max_session_keys. */
  readonly #sessions: KeptSession[] = []

  /** `scope`: `cluster.<name>.` */
  constructor(config: UpstreamTlsConfig, scope: StatsScope, services: WorkerServices) {
    this.config = config
    this.context = new TlsContext(config, scope, services, false, true)
    this.context.onChange = () => {
      this.#secure = null
      this.#sessions.length = 0
    }
  }

  /**
   * The driver for one connection. `sni` '' = the configured one, or the host name with auto_host_sni.
   * `alpn` null = the configured list, else what the codec or a filter wants. `verifyName`: a name the certificate must carry
   * (auto_san_validation), '' = as configured. Bounded: names come from hosts and routes.
   */
  driver(hostname: string, sni = '', alpn: readonly string[] | null = null, verifyName = ''): TlsDriver {
    const name = sni !== '' ? sni : this.config.autoHostSni && hostname !== '' ? hostname : this.config.sni
    const protocols = alpn ?? this.config.alpn
    const key = `${name}\n${verifyName}\n${protocols.join('\n')}`
    let driver = this.#drivers.get(key)
    if (driver === undefined) {
      if (this.#drivers.size >= 1024) this.#drivers.clear()
      driver = new ClientTlsDriver(this, name, protocols, verifyName)
      this.#drivers.set(key, driver)
    }
    return driver
  }

  secureContext(): tls.SecureContext | null {
    const material = this.context.material()
    if (material === null) return null
    if (this.#secure === null) {
      const options = baseOptions(this.config, material)
      options.ecdhCurve = clientGroups(this.config.curves)
      if (material.certificates.length > 0) withCertificates(options, material.certificates)
      this.#secure = lazyTls().createSecureContext(options)
    }
    return this.#secure
  }

  localCertificate(): LoadedCertificate | null {
    return this.context.material()?.certificates[0] ?? null
  }

  /** `peer`: the certificate of the server, which the session itself no longer has. */
  keepSession(key: string, session: Buffer, peer: X509Certificate): void {
    if (this.config.maxSessionKeys === 0) return
    while (this.#sessions.length >= this.config.maxSessionKeys) this.#sessions.shift()
    this.#sessions.push({ key, session, peer, once: sessionVersionOf(session) === TLS13 })
  }

  /** Up to TLS 1.2 a session serves until it is too old; a TLS 1.3 ticket is good once (RFC 8446 §C.4). */
  takeSession(key: string): KeptSession | undefined {
    for (let i = this.#sessions.length - 1; i >= 0; i--) {
      const kept = this.#sessions[i]!
      if (kept.key !== key) continue
      if (kept.once) this.#sessions.splice(i, 1)
      return kept
    }
    return undefined
  }

  close(): void {
    this.context.close()
  }
}

function noCertificate(): tls.DetailedPeerCertificate {
  return {} as tls.DetailedPeerCertificate
}

class ClientTlsDriver implements TlsDriver {
  readonly #tls: ClientTls
  readonly #sni: string
  readonly #alpn: string[]
  readonly #verifyName: string
  /** Sessions are kept apart by what was verified: a resumed one is not verified again by OpenSSL. */
  readonly #sessionKey: string
  readonly #onSession: (this: tls.TLSSocket, session: Buffer) => void

  constructor(owner: ClientTls, sni: string, alpn: readonly string[], verifyName: string) {
    this.#tls = owner
    this.#sni = sni
    this.#alpn = [...alpn]
    this.#verifyName = verifyName
    const key = verifyName === '' ? sni : `${sni}\n${verifyName}`
    this.#sessionKey = key
    // TLS 1.2 has its session before the server is judged: a refused one must not be resumed next time, which checks nothing.
    this.#onSession = function (session) {
      const peer = ACCEPTED.get(this)
      if (peer !== undefined) owner.keepSession(key, session, peer)
    }
  }

  wrap(socket: net.Socket, connection: SocketConnection): tls.TLSSocket | null {
    const secureContext = this.#tls.secureContext()
    if (secureContext === null) {
      this.#tls.context.stats.secretsNotReady.inc()
      connection.transportFailure = 'TLS error: Secret is not supplied by SDS'
      return null
    }
    const options: tls.ConnectionOptions = {
      socket,
      secureContext,
      // Judged in onSecure.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ALPNProtocols: this.#alpn,
    }
    // RFC 6066 §3: literal addresses are not permitted; Node refuses them, too.
    if (this.#sni !== '' && net.isIP(this.#sni) === 0) options.servername = this.#sni
    const session = this.#tls.takeSession(this.#sessionKey)
    if (session !== undefined) options.session = session.session
    const secured = lazyTls().connect(options)
    // Node would make objects of the whole chain for checkServerIdentity: 170 µs.
    secured.getPeerCertificate = noCertificate
    if (session !== undefined) OFFERED.set(secured, session.peer)
    if (this.#tls.config.maxSessionKeys > 0) secured.on('session', this.#onSession)
    return secured
  }

  onSecure(socket: tls.TLSSocket, connection: SocketConnection): TlsInfo | null {
    const { context, config } = this.#tls
    const material = context.material()!
    const { stats } = context
    const resumed = socket.isSessionReused()
    const peer = resumed ? OFFERED.get(socket) : socket.getPeerX509Certificate()
    const demanded = this.#verifyName !== '' ? this.#verifyName : config.autoSniSanValidation ? this.#sni : ''
    const active = material.verifier.active || demanded !== ''
    const failure = active ? material.verifier.verify(socket, peer, demanded, stats) : ''
    if (failure !== '') {
      connection.transportFailure = failure
      context.warn(connection.remote.text, `${failure}; ${material.verifier.explain(peer)}`)
      return null
    }
    stats.handshake.inc()
    if (peer !== undefined && config.maxSessionKeys > 0) this.#accept(socket, peer, resumed)
    const validated = material.verifier.verifiesChain && !material.validation.acceptUntrusted
    const info = new TlsSession(socket, this.#sni, peer, this.#tls.localCertificate(), validated)
    if (info.resumed) stats.sessionReused.inc()
    stats.seen('ciphers', info.cipher)
    stats.seen('versions', info.version)
    const tls13 = info.version === 'TLSv1.3'
    // RSA key exchange is signed by nobody.
    if (peer !== undefined && (tls13 || info.cipher.startsWith('ECDHE-')))
      stats.seen('sigalgs', signatureAlgorithm(config.signatureAlgorithms, namesOf(peer).key, tls13))
    const key = socket.getEphemeralKeyInfo() as { name?: string } | null
    stats.seen('curves', printedCurve(key?.name ?? ''))
    return info
  }

  /** From here on sessions of this connection are kept; that of TLS 1.2 is there already. */
  #accept(socket: tls.TLSSocket, peer: X509Certificate, resumed: boolean): void {
    ACCEPTED.set(socket, peer)
    const session = resumed || socket.getProtocol() === 'TLSv1.3' ? undefined : socket.getSession()
    if (session !== undefined) this.#tls.keepSession(this.#sessionKey, session, peer)
  }

  onHandshakeError(error: NodeJS.ErrnoException, connection: SocketConnection): string {
    const text = handshakeErrorText(error)
    // A peer that only went away is no TLS error, as in Envoy.
    if (text === '') return text
    this.#tls.context.stats.connectionError.inc()
    this.#tls.context.log.debug(`remote address:${connection.remote.text},${text}`)
    return text
  }
}

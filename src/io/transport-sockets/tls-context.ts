import type tls from 'node:tls'
import { lazyCrypto, lazyTls } from '../../base/lazy-modules.ts'
import type { Log } from '../../base/log.ts'
import { FieldPath } from '../../config/field-path.ts'
import type { WorkerServices } from '../../config/services.ts'
import type { StatsScope } from '../../stats/stats.ts'
import { type CertificateNames, namesOf } from './certificate.ts'
import { PeerVerifier } from './peer-verifier.ts'
import { readCertificates } from './pem.ts'
import type { CertificateConfig, CommonTlsConfig } from './tls-config.ts'
import { TlsStats } from './tls-stats.ts'
import { mergeValidation, NO_VALIDATION, parseValidation, type ValidationConfig } from './validation.ts'

export interface LoadedCertificate extends CertificateConfig {
  readonly names: CertificateNames
  /** 'ec', 'rsa', 'ed25519' …: OpenSSL takes one certificate per kind. */
  readonly keyType: string
}

/** Everything that one version of certificates and trust gives. Swapped as a whole when a secret changes. */
export interface TlsMaterial {
  readonly certificates: readonly LoadedCertificate[]
  readonly validation: ValidationConfig
  readonly verifier: PeerVerifier
  /** Hash over all of it. */
  readonly identity: Buffer
}

/** At most one warning line per context in this time: a flood of bad handshakes must not become a flood of log lines. */
const WARN_INTERVAL = 10_000

/** What servers and clients share: secrets, stats, log. Materials are null while a secret is missing. */
export class TlsContext {
  readonly config: CommonTlsConfig
  readonly stats: TlsStats
  readonly log: Log
  readonly #services: WorkerServices
  readonly #requirePeer: boolean
  readonly #unwatch: (() => void)[] = []
  #material: TlsMaterial | null = null
  #stale = true
  #lastWarning = Number.NEGATIVE_INFINITY
  /** Told when materials change: caches of SecureContexts are dropped. */
  onChange: () => void = () => {}

  constructor(
    config: CommonTlsConfig,
    scope: StatsScope,
    services: WorkerServices,
    server: boolean,
    requirePeer: boolean,
    moreSecrets: readonly string[] = [],
  ) {
    this.config = config
    this.stats = new TlsStats(scope, server)
    this.log = services.log('connection')
    this.#services = services
    this.#requirePeer = requirePeer
    const names = [...config.certificateSecrets, config.validationSecret, ...moreSecrets].filter(n => n !== '')
    for (const name of new Set(names)) {
      this.#unwatch.push(
        services.secrets.watch(name, () => {
          this.#stale = true
          this.onChange()
        }),
      )
    }
    this.material()
  }

  /** Null until every secret has arrived. */
  material(): TlsMaterial | null {
    if (!this.#stale) return this.#material
    this.#stale = false
    // While a new version is not usable the last one stays, as Envoy keeps its context.
    this.#material = this.#load() ?? this.#material
    if (this.#material === null) this.#stale = true
    return this.#material
  }

  secret(name: string): ReturnType<WorkerServices['secrets']['get']> {
    return this.#services.secrets.get(name)
  }

  /** `reason`: what went wrong, with the names that were expected and presented. */
  warn(who: string, reason: string): void {
    const now = this.#services.timers.now()
    if (now - this.#lastWarning < WARN_INTERVAL) {
      this.log.debug(`TLS handshake with ${who} refused: ${reason}`)
      return
    }
    this.#lastWarning = now
    this.log.warning(`TLS handshake with ${who} refused: ${reason}`)
  }

  close(): void {
    for (const end of this.#unwatch) end()
  }

  #load(): TlsMaterial | null {
    const hash = lazyCrypto().createHash('sha256')
    const certificates: LoadedCertificate[] = []
    for (const c of this.config.certificates) certificates.push(this.#certificate(c, ''))
    for (const name of this.config.certificateSecrets) {
      const data = this.#services.secrets.get(name)?.tlsCertificate
      if (data === undefined) return null
      certificates.push(
        this.#certificate({ chain: data.certificateChain, key: data.privateKey, password: data.password }, name),
      )
    }
    for (const c of certificates) hash.update(c.chain)
    const validation = this.#validation()
    if (validation === null) return null
    hash.update(JSON.stringify({ ...validation, ca: null, crl: null }))
    if (validation.ca !== null) hash.update(validation.ca)
    hash.update(String(this.#requirePeer))
    const verifier = new PeerVerifier(validation, this.#requirePeer)
    return { certificates, validation, verifier, identity: hash.digest() }
  }

  #certificate(c: CertificateConfig, secret: string): LoadedCertificate {
    const leaf = readCertificates(c.chain)?.[0]
    if (leaf === undefined)
      return { ...c, names: { subject: '', issuer: '', serial: '', key: '', sans: [] }, keyType: '' }
    this.#expiration(secret, 'unnamed_cert_e3b0c442', leaf.validToDate)
    return { ...c, names: namesOf(leaf), keyType: leaf.publicKey.asymmetricKeyType ?? '' }
  }

  #validation(): ValidationConfig | null {
    const { validation, validationSecret } = this.config
    let message = validation
    if (validationSecret !== '') {
      const update = this.#services.secrets.get(validationSecret)?.validationContext
      if (update === undefined) return null
      message = mergeValidation(validation ?? {}, update)
    }
    if (message === null) return NO_VALIDATION
    try {
      const parsed = parseValidation(message, FieldPath.root(validationSecret), [])
      const ca = parsed.ca === null ? undefined : readCertificates(parsed.ca)?.[0]
      if (ca !== undefined) this.#expiration(validationSecret, 'unnamed_ca_cert_e3b0c442', ca.validToDate)
      return parsed
    } catch (error) {
      this.log.warning(`secret '${validationSecret}' cannot be used: ${error instanceof Error ? error.message : error}`)
      return null
    }
  }

  #expiration(secret: string, unnamed: string, when: Date): void {
    // Gauges of workers are added up: one of them has to speak for all.
    if (this.#services.workerIndex !== 0) return
    this.stats.expiration(secret === '' ? unnamed : secret, Math.floor(when.getTime() / 1000))
  }
}

/** The options of `createSecureContext` that both sides have. */
export function baseOptions(config: CommonTlsConfig, material: TlsMaterial): tls.SecureContextOptions {
  const { validation } = material
  const options: tls.SecureContextOptions = {
    minVersion: config.minVersion,
    maxVersion: config.maxVersion,
    ciphers: config.ciphers,
  }
  if (config.signatureAlgorithms !== '') options.sigalgs = config.signatureAlgorithms
  if (validation.ca !== null) options.ca = Buffer.from(validation.ca)
  else if (validation.systemRoots) options.ca = lazyTls().getCACertificates('system')
  // Nothing is checked against a CA; without this Node would load all of Mozilla's.
  else options.ca = []
  if (validation.crl !== null) options.crl = Buffer.from(validation.crl)
  return options
}

export function withCertificates(options: tls.SecureContextOptions, list: readonly CertificateConfig[]): void {
  options.cert = list.map(c => Buffer.from(c.chain))
  options.key = list.map(c => ({ pem: Buffer.from(c.key), passphrase: c.password }))
}

import { Backoff } from '../backoff.ts'
import { Logger } from '../log.ts'
import type { CaClient } from './ca-client.ts'
import { concatenate, expiryOf, mergeRoots } from './certificate-pem.ts'
import { certificateRequest, spiffeId } from './csr.ts'
import { FileSecrets } from './file-secrets.ts'
import { FileWatch } from './file-watch.ts'
import { newKeyPair, privateKeyPem } from './key-pair.ts'
import type { IdentityMetrics } from './metrics.ts'
import type { IdentityOptions } from './options.ts'
import { outputCertificates } from './output-certificates.ts'
import type { Schedule } from './schedule.ts'
import { ROOT, type Secret, secretRequest, WORKLOAD } from './secret.ts'

const log = new Logger('cache')
const sds = new Logger('sds')
/** A CA that issues certificates which have already expired must not be asked in a loop. */
const SOONEST_RENEWAL_MS = 1000

/** A certificate of this workload, signed by the CA. */
interface Workload {
  readonly key: string
  readonly chain: string
  /** The last certificate of the CA's answer. */
  readonly root: string
  readonly created: number
  readonly expires: number
}

export interface SecretManagerOptions {
  readonly options: IdentityOptions
  /** null: certificates come from files only. */
  readonly ca: CaClient | null
  readonly metrics: IdentityMetrics
  readonly schedule: Schedule
}

/**
 * Keeps the secrets of this workload: its certificate by request to the CA, renewed with a new key long before it expires,
 * or all from files (istio security/pkg/nodeagent/cache). Nothing is cached of files.
 *
 * Unlike Istio, a renewal that fails takes nothing away: the certificate in use is good for another half of its life and
 * is served until the new one is there, which is asked for with back-off and without an end.
 */
export class SecretManager {
  /** Told the name of a secret whose contents are new. */
  onUpdate: (name: string) => void = () => {}
  readonly #options: IdentityOptions
  readonly #ca: CaClient | null
  readonly #metrics: IdentityMetrics
  readonly #schedule: Schedule
  readonly #watch: FileWatch
  readonly #files: FileSecrets
  #workload: Workload | null = null
  /** Of the last certificate, for comparison. */
  #lastRoot = ''
  /** PCDS: roots besides the CA's own. */
  #trustBundle = ''
  #signing: Promise<Workload> | null = null
  #renewing = false
  #cancel: () => void = () => {}
  #wake: () => void = () => {}
  #closed = false

  constructor({ options, ca, metrics, schedule }: SecretManagerOptions) {
    this.#options = options
    this.#ca = ca
    this.#metrics = metrics
    this.#schedule = schedule
    this.#watch = new FileWatch(
      options.fileDebounceMs,
      names => {
        for (const name of names) this.onUpdate(name)
      },
      () => metrics.watcherFailed(),
    )
    this.#files = new FileSecrets({
      files: options.files,
      outputFolder: options.outputFolder,
      debounceMs: options.fileDebounceMs,
      watch: this.#watch,
      metrics,
    })
  }

  /** Asks for the first certificate at once, so that it is there when the proxy asks, and for OUTPUT_CERTS. */
  warm(): void {
    void this.#renew('failed to warm certificate')
  }

  /** The secret of that name; made, if it must be. Rejects with the reason. */
  async get(name: string): Promise<Secret> {
    const secret = (await this.#files.find(name)) ?? (await this.#fromCa(name))
    const served: Secret =
      name === ROOT && secret.kind === 'root' ? { kind: 'root', roots: this.#withTrustBundle(secret.roots) } : secret
    if (name === ROOT || name === WORKLOAD) this.#output(served)
    return served
  }

  /** Roots to trust besides the CA's (PCDS, ProxyConfig.caCertificatesPem); each a PEM text. */
  updateTrustBundle(pems: readonly string[]): void {
    const bundle = mergeRoots(pems)
    if (bundle === this.#trustBundle) {
      log.debug('skip for same trust bundle')
      return
    }
    this.#trustBundle = bundle
    log.debug('update new trust bundle')
    this.#changed(ROOT)
    // Who changes the roots is about to change the CA.
    if (this.#workload !== null) void this.#renew('failed to renew certificate')
  }

  close(): void {
    this.#closed = true
    this.#cancel()
    this.#wake()
    this.#files.close()
    this.#watch.close()
    this.#ca?.close()
  }

  async #fromCa(name: string): Promise<Secret> {
    const workload = await this.#current()
    const ttl = `${((workload.expires - this.#schedule.wall()) / 1000).toFixed(3)}s`
    if (secretRequest(name).from === 'root') {
      log.info('returned workload trust anchor from cache', { ttl })
      return { kind: 'root', roots: workload.root }
    }
    log.info('returned workload certificate from cache', { ttl })
    return { kind: 'key', key: workload.key, chain: workload.chain }
  }

  async #current(): Promise<Workload> {
    const workload = this.#workload
    if (workload !== null && workload.expires > this.#schedule.wall()) return workload
    try {
      return await this.#sign()
    } catch (error) {
      throw new Error(`failed to generate workload certificate: ${(error as Error).message}`)
    }
  }

  /** One request at a time: whoever needs a certificate meanwhile gets the same. */
  #sign(): Promise<Workload> {
    this.#signing ??= this.#request().finally(() => {
      this.#signing = null
    })
    return this.#signing
  }

  async #request(): Promise<Workload> {
    if (this.#ca === null) throw new Error('attempted to fetch secret, but ca client is nil')
    const { trustDomain, namespace, serviceAccount, keyKind, pkcs8, secretTtlMs } = this.#options
    const started = this.#schedule.wall()
    const pair = await newKeyPair(keyKind)
    const csr = certificateRequest(pair, spiffeId(trustDomain, namespace, serviceAccount))
    const before = performance.now()
    let chain: string[]
    try {
      chain = await this.#ca.sign(csr, secretTtlMs)
      this.#metrics.signed(performance.now() - before, false)
    } catch (error) {
      this.#metrics.signed(performance.now() - before, true)
      if (!this.#closed) log.error(`resource:${WORKLOAD} failed to sign: ${(error as Error).message}`)
      throw error
    }
    const text = concatenate(chain)
    let expires: number
    try {
      expires = expiryOf(text)
    } catch (error) {
      throw new Error(
        `failed to extract expire time from server certificate in CSR response: ${(error as Error).message}`,
      )
    }
    const created = this.#schedule.wall()
    log.info('generated new workload certificate', {
      resourceName: WORKLOAD,
      latency: `${created - started}ms`,
      ttl: `${((expires - created) / 1000).toFixed(3)}s`,
    })
    const root = chain.at(-1) as string
    const workload: Workload = { key: privateKeyPem(pair, pkcs8), chain: text, root, created, expires }
    this.#adopt(workload)
    return workload
  }

  #adopt(workload: Workload): void {
    const first = this.#workload === null
    this.#workload = workload
    this.#metrics.expires(workload.expires)
    this.#scheduleRenewal(workload)
    this.#output({ kind: 'key', key: workload.key, chain: workload.chain })
    if (!this.#files.owns(ROOT)) this.#output({ kind: 'root', roots: this.#withTrustBundle(workload.root) })
    if (workload.root !== this.#lastRoot) {
      log.info('Root cert has changed, start rotating root cert')
      this.#lastRoot = workload.root
      // Roots first: peers may already show certificates of the new one.
      if (!first) this.#changed(ROOT)
    }
    if (!first) this.#changed(WORKLOAD)
  }

  #scheduleRenewal(workload: Workload): void {
    const { gracePeriodRatio, gracePeriodRatioJitter } = this.#options
    // A fleet that started at once must not come back to the CA at once.
    const ratio = gracePeriodRatio + (Math.random() * 2 - 1) * gracePeriodRatioJitter
    const delay = renewalDelay(workload.created, workload.expires, ratio, this.#schedule.wall())
    log.debug(`scheduled certificate for rotation in ${(delay / 1000).toFixed(3)}s`)
    this.#cancel()
    this.#cancel = this.#schedule.after(delay, () => {
      log.debug('rotating certificate')
      void this.#renew('failed to renew certificate')
    })
  }

  /** Until it succeeds. */
  async #renew(warning: string): Promise<void> {
    if (this.#renewing) return
    this.#renewing = true
    const backoff = new Backoff()
    while (!this.#closed) {
      try {
        await this.#sign()
        break
      } catch (error) {
        if (!this.#closed) sds.warn(`${warning}: ${(error as Error).message}`)
      }
      if (!this.#closed) await this.#pause(backoff.next())
    }
    this.#renewing = false
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.#schedule.after(milliseconds, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }

  #changed(name: string): void {
    if (!this.#closed) this.onUpdate(name)
  }

  #withTrustBundle(roots: string): string {
    return mergeRoots([this.#trustBundle, roots])
  }

  #output(secret: Secret): void {
    outputCertificates(this.#options.outputFolder, this.#options.inKubernetes, secret)
  }
}

/** Milliseconds until a certificate is to be renewed: when `ratio` of its lifetime is left. All times since the epoch. */
export function renewalDelay(created: number, expires: number, ratio: number, now: number): number {
  const grace = Math.min(Math.max(ratio, 0), 1) * (expires - created)
  return Math.max(expires - grace - now, SOONEST_RENEWAL_MS)
}

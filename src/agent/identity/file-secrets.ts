import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Backoff } from '../backoff.ts'
import { Logger } from '../log.ts'
import { readableRoots, requireMatch } from './certificate-pem.ts'
import type { FileWatch } from './file-watch.ts'
import type { IdentityMetrics } from './metrics.ts'
import type { CertificateFiles } from './options.ts'
import { type KeySecret, ROOT, type RootSecret, type Secret, secretRequest, WORKLOAD } from './secret.ts'

const log = new Logger('cache')
/** A key and its chain are written one after the other: a pair that does not match may match soon. */
const PATIENCE_MS = 10_000
const LONGEST_WAIT_MS = 60_000

/** Where Linux distributions keep the roots they trust, the list of Go's crypto/x509. */
const SYSTEM_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
  '/usr/local/etc/ssl/cert.pem',
  '/etc/ssl/certs/ca-certificates',
]

export interface FileSecretOptions {
  /** The workload's own, served as `default` and `ROOTCA` whenever they are there. */
  readonly files: CertificateFiles
  /** OUTPUT_CERTS: what the agent itself writes is not read back, or it would never be renewed. */
  readonly outputFolder: string
  readonly debounceMs: number
  readonly watch: FileWatch
  readonly metrics: IdentityMetrics
}

/** Secrets made of files. */
export class FileSecrets {
  readonly #options: FileSecretOptions
  readonly #own: boolean
  readonly #closing = new AbortController()

  constructor(options: FileSecretOptions) {
    this.#options = options
    const { outputFolder, files } = options
    this.#own = outputFolder === '' || resolve(outputFolder) !== resolve(dirname(files.chain))
  }

  /** Whether `default` or `ROOTCA` come from files now, rather than from the CA. */
  owns(name: typeof WORKLOAD | typeof ROOT): boolean {
    const { files } = this.#options
    if (!this.#own) return false
    return name === ROOT ? filled(files.root) : filled(files.chain) && filled(files.key)
  }

  /** undefined: this name is not made of files. Rejects when the files stay unusable for ten seconds. */
  async find(name: string): Promise<Secret | undefined> {
    const request = secretRequest(name)
    const { files } = this.#options
    try {
      switch (request.from) {
        case 'root':
          return this.owns(ROOT) ? await this.#roots(files.root, ROOT) : undefined
        case 'workload':
          return name === WORKLOAD && this.owns(WORKLOAD)
            ? await this.#keyPair(files.chain, files.key, name)
            : undefined
        case 'system-roots': {
          const path = SYSTEM_FILES.find(file => existsSync(file))
          if (path === undefined) throw new Error('no root certificates of the operating system were found')
          return await this.#roots(path, name)
        }
        case 'root-file':
          return await this.#roots(request.path, name)
        case 'key-files':
          return await this.#keyPair(request.chain, request.key, name)
      }
    } catch (error) {
      if (this.#closing.signal.aborted) throw error
      log.error(`resource:${name} failed to generate secret for proxy from file: ${(error as Error).message}`)
      this.#options.metrics.fileFailed()
      throw error
    }
  }

  close(): void {
    this.#closing.abort()
  }

  async #roots(path: string, name: string): Promise<RootSecret> {
    // Watched before it is read: a change in between is seen.
    this.#options.watch.add(path, name)
    return await this.#patiently(name, () => {
      const { roots, errors } = readableRoots(readFileSync(path, 'utf8'))
      if (roots === '') throw new Error(`failed to parse root certs from file ${path}: [${errors.join(' ')}]`)
      if (errors.length > 0) log.error(`failed to parse some certs from file ${path}: [${errors.join(' ')}]`)
      return { kind: 'root', roots }
    })
  }

  async #keyPair(chainPath: string, keyPath: string, name: string): Promise<KeySecret> {
    // The chain is enough: no key changes without it.
    this.#options.watch.add(chainPath, name)
    return await this.#patiently(name, () => {
      const chain = readFileSync(chainPath, 'utf8')
      const key = readFileSync(keyPath, 'utf8')
      requireMatch(chain, key)
      return { kind: 'key', chain, key }
    })
  }

  async #patiently<T>(name: string, read: () => T): Promise<T> {
    const backoff = new Backoff(this.#options.debounceMs, LONGEST_WAIT_MS)
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      try {
        const secret = read()
        log.info('read certificate from file', { resource: name })
        return secret
      } catch (error) {
        const wait = backoff.next()
        if (performance.now() + wait > deadline) throw error
        await sleep(wait, undefined, { signal: this.#closing.signal })
      }
    }
  }
}

function filled(path: string): boolean {
  const entry = statSync(path, { throwIfNoEntry: false })
  return entry?.isFile() === true && entry.size > 0
}

import { type FSWatcher, watch } from 'node:fs'
import { dirname } from 'node:path'
import type { Log } from '../base/log.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { SecretData } from '../config/services.ts'
import type { Counter } from '../stats/stats.ts'

type SecretProto = envoy.extensions.transport_sockets.tls.v3.Secret
type DataSource = envoy.config.core.v3.DataSource

/** Several events of one rotation (certificate, then key) are one reading. */
const SETTLE_MS = 20

/**
 * The files that a secret of SDS names, read again when something changes beside them or in its watched_directory (sds_api.cc,
 * onWatchUpdate). Files of static certificates are not watched, as in Envoy.
 */
export class SecretFiles {
  readonly #name: string
  readonly #log: Log
  readonly #failed: Counter
  readonly #watchers: FSWatcher[] = []
  #read: (() => SecretData) | null = null
  #put: (secret: SecretData) => void = () => {}
  #seen = ''
  #settling: NodeJS.Timeout | null = null

  /** @param failed counts what could not be taken over (key_rotation_failed) */
  constructor(name: string, log: Log, failed: Counter) {
    this.#name = name
    this.#log = log
    this.#failed = failed
  }

  /** A new version of the secret was taken over: `read` reads its files again and checks them (throws ConfigError), `put` takes the result. */
  follow(proto: SecretProto, now: SecretData, read: () => SecretData, put: (secret: SecretData) => void): void {
    this.close()
    this.#read = read
    this.#put = put
    this.#seen = fingerprint(now)
    for (const directory of directoriesOf(proto)) {
      try {
        const watcher = watch(directory, { persistent: false }, () => this.#touched())
        watcher.on('error', error => this.#log.error(`watch of ${directory} failed: ${error.message}`))
        this.#watchers.push(watcher)
      } catch (error) {
        this.#log.warning(`sds: unable to watch ${directory} for ${this.#name}: ${(error as Error).message}`)
      }
    }
  }

  close(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close()
    if (this.#settling !== null) clearTimeout(this.#settling)
    this.#settling = null
    this.#read = null
  }

  #touched(): void {
    this.#settling ??= setTimeout(() => this.#look(), SETTLE_MS)
  }

  #look(): void {
    this.#settling = null
    if (this.#read === null) return
    try {
      const secret = this.#read()
      const seen = fingerprint(secret)
      if (seen === this.#seen) return
      this.#seen = seen
      this.#put(secret)
    } catch (error) {
      // Between the moves of certificate and key this is to be expected: the old pair stays until the new one is whole.
      this.#failed.inc()
      this.#log.warning(`sds: failed to reload certificates of ${this.#name}: ${(error as Error).message}`)
    }
  }
}

function fingerprint(secret: SecretData): string {
  return JSON.stringify(secret, (_, value: unknown) =>
    ArrayBuffer.isView(value) ? Buffer.from(value as Uint8Array).toString('base64') : value,
  )
}

function directoriesOf(proto: SecretProto): Set<string> {
  const certificate = proto.tls_certificate
  const validation = proto.validation_context
  const found = new Set<string>()
  const sources: (DataSource | undefined)[] = [
    certificate?.certificate_chain,
    certificate?.private_key,
    certificate?.password,
    certificate?.ocsp_staple,
    validation?.trusted_ca,
    validation?.crl,
    proto.generic_secret?.secret,
  ]
  for (const source of sources) if (source?.filename !== undefined) found.add(dirname(source.filename))
  // With a directory of its own only that announces changes, but its files are what is read.
  const watched = certificate?.watched_directory?.path ?? validation?.watched_directory?.path
  if (found.size > 0 && watched !== undefined) found.add(watched)
  return found
}

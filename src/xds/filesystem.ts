import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { ConfigError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { AnyMessage } from '../config/any.ts'
import { encodeMessage } from '../config/binary.ts'
import { loadFile } from '../config/load.ts'
import { nameOf } from './grpc-mux.ts'
import type { ResourceSource, ResourceWatcher, Watch } from './source.ts'

interface FileResponse {
  readonly version_info?: string
  readonly resources?: readonly AnyMessage[]
}

/** Several events of one edit (truncate, write, rename) are one reload. */
const SETTLE_MS = 20

/**
 * Resources in a DiscoveryResponse file (path_config_source). Envoy looks again when something is moved onto the path; editors and
 * `sed -i` do that too, but a plain write does not, which surprises everybody: here both are noticed. With `watchedDirectory` (how
 * Kubernetes swaps a mounted volume by a symlink) only moves inside that directory count, as in Envoy.
 */
export class FileSource implements ResourceSource {
  readonly #path: string
  readonly #watched: string
  readonly #log: Log

  constructor(path: string, watchedDirectory: string, log: Log) {
    this.#path = path
    this.#watched = watchedDirectory
    this.#log = log
  }

  watch(_typeUrl: string, names: readonly string[] | null, watcher: ResourceWatcher): Watch {
    const watched = new FileWatch(this.#path, this.#watched, names, watcher, this.#log)
    watched.start()
    return watched
  }
}

class FileWatch implements Watch {
  readonly #path: string
  readonly #directory: string
  readonly #anyName: boolean
  readonly #watcher: ResourceWatcher
  readonly #log: Log
  #names: readonly string[] | null
  #fs: FSWatcher | null = null
  #settling: NodeJS.Timeout | null = null

  constructor(path: string, directory: string, names: readonly string[] | null, watcher: ResourceWatcher, log: Log) {
    this.#path = path
    this.#anyName = directory !== ''
    this.#directory = directory === '' ? dirname(path) : directory
    this.#names = names
    this.#watcher = watcher
    this.#log = log
  }

  start(): void {
    const file = basename(this.#path)
    this.#fs = watch(this.#directory, { persistent: false }, (_event, name) => {
      if (this.#anyName || name === null || name === file) this.#changed()
    })
    this.#fs.on('error', error => this.#log.error(`watch of ${this.#directory} failed: ${error.message}`))
    // The first reading is not done inside the subscriber's own call, as with every other source.
    this.#settling = setTimeout(() => this.#load(), 0)
  }

  setNames(names: readonly string[]): void {
    this.#names = names
    this.#changed()
  }

  close(): void {
    this.#fs?.close()
    this.#fs = null
    if (this.#settling !== null) clearTimeout(this.#settling)
  }

  #changed(): void {
    if (this.#settling !== null) clearTimeout(this.#settling)
    this.#settling = setTimeout(() => this.#load(), SETTLE_MS)
  }

  #load(): void {
    this.#settling = null
    let response: FileResponse
    try {
      const loaded = loadFile<FileResponse>('envoy.service.discovery.v3.DiscoveryResponse', this.#path, 'warn')
      response = loaded.message
      for (const warning of loaded.warnings) this.#log.warning(warning)
    } catch (error) {
      // A file that does not parse is a failure, not a rejection: there is nothing to judge.
      const text = error instanceof ConfigError ? error.message : (error as Error).message
      this.#log.warning(`Filesystem config update failure: ${text}`)
      this.#watcher.onFailure(text)
      return
    }
    const all = (response.resources ?? []).map(any => ({
      typeUrl: any.type_url,
      bytes: any.value ?? encodeMessage(any.type_url.slice(any.type_url.lastIndexOf('/') + 1), any.message ?? {}),
    }))
    const names = this.#names
    const resources = names === null ? all : all.filter(r => names.includes(nameOf(r)))
    try {
      this.#watcher.onUpdate({ version: response.version_info ?? '', resources })
    } catch (error) {
      this.#log.warning(`Filesystem config update rejected: ${(error as Error).message}`)
    }
  }
}

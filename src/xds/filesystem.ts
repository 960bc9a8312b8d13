import { type FSWatcher, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError, type ConfigErrorCode } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { AnyMessage } from '../config/any.ts'
import { encodeMessage } from '../config/binary.ts'
import { FieldPath } from '../config/field-path.ts'
import { type LoadedMessage, loadFile } from '../config/load.ts'
import { reasonOf } from './nack.ts'
import type { ResourceType } from './resources/type.ts'
import { type DecodePolicy, XdsResource } from './resources/xds-resource.ts'
import type { ResourceSource, ResourceWatcher, Watch } from './source.ts'

interface FileResponse {
  readonly version_info?: string
  readonly resources?: readonly AnyMessage[]
}

/** Several events of one edit (truncate, write, rename) are one reload. */
const SETTLE_MS = 20
/** Errors of resources that could be read: they count as rejected, as in Envoy, where files are read first and validated then. */
const BROKEN_RULES: ReadonlySet<ConfigErrorCode> = new Set([
  'CONFIG_CONSTRAINT',
  'CONFIG_DEPRECATED',
  'CONFIG_ANY_TYPE',
])
const WRAPPER = 'type.googleapis.com/envoy.service.discovery.v3.Resource'

/**
 * Resources in a DiscoveryResponse file (path_config_source). Envoy looks again when something is moved onto the path; editors and
 * `sed -i` do that too, but a plain write does not, which surprises everybody: here whatever changes the file is noticed, also by the
 * swap of a symbolic link on the way (how Kubernetes updates a mounted volume).
 */
export class FileSource implements ResourceSource {
  readonly countsStart = false
  readonly #path: string
  readonly #directory: string
  readonly #policy: DecodePolicy
  readonly #log: Log

  /** @param watchedDirectory where moves announce a change; '' = the file's own directory */
  constructor(path: string, watchedDirectory: string, policy: DecodePolicy, log: Log) {
    this.#path = path
    this.#directory = watchedDirectory === '' ? dirname(path) : watchedDirectory
    this.#policy = policy
    this.#log = log
  }

  /** Throws ConfigError when the directory cannot be watched. */
  watch(type: ResourceType, names: readonly string[] | null, watcher: ResourceWatcher): Watch {
    return new FileWatch(this.#path, this.#directory, type, names, watcher, this.#policy, this.#log)
  }
}

class FileWatch implements Watch {
  readonly #path: string
  readonly #type: ResourceType
  readonly #watcher: ResourceWatcher
  readonly #policy: DecodePolicy
  readonly #log: Log
  readonly #fs: FSWatcher
  #names: readonly string[] | null
  #settling: NodeJS.Timeout | null
  /** What was read last, to tell an event of this file from one of its neighbours. */
  #seen = ''
  #closed = false

  constructor(
    path: string,
    directory: string,
    type: ResourceType,
    names: readonly string[] | null,
    watcher: ResourceWatcher,
    policy: DecodePolicy,
    log: Log,
  ) {
    this.#path = path
    this.#type = type
    this.#names = names
    this.#watcher = watcher
    this.#policy = policy
    this.#log = log
    try {
      this.#fs = watch(directory, { persistent: false }, () => this.#touched())
    } catch (error) {
      throw new ConfigError('CONFIG_RESOURCE', '', `unable to add filesystem watch for file ${path}`, { cause: error })
    }
    this.#fs.on('error', error => log.error(`watch of ${directory} failed: ${error.message}`))
    // The first reading is not done inside the subscriber's own call, as with every other source.
    this.#settling = setTimeout(() => this.#load(), 0)
  }

  setNames(names: readonly string[]): void {
    this.#names = names
    this.#seen = ''
    this.#touched()
  }

  close(): void {
    this.#closed = true
    this.#fs.close()
    if (this.#settling !== null) clearTimeout(this.#settling)
  }

  #touched(): void {
    if (this.#settling !== null || this.#closed) return
    this.#settling = setTimeout(() => {
      if (identity(this.#path) === this.#seen) this.#settling = null
      else this.#load()
    }, SETTLE_MS)
  }

  #load(): void {
    this.#settling = null
    this.#seen = identity(this.#path)
    let version: string
    let resources: XdsResource[]
    try {
      const policy = this.#policy.rejectUnknown ? 'reject' : 'warn'
      const type = 'envoy.service.discovery.v3.DiscoveryResponse'
      const loaded = loadFile<FileResponse>(type, this.#path, policy)
      for (const text of loaded.warnings) this.#policy.warn(text)
      for (const _ of loaded.unknownFields) this.#policy.countUnknown()
      version = loaded.message.version_info ?? ''
      const all = loaded.message.resources ?? []
      resources = all.map((any, i) => this.#resource(any, i, version, loaded))
    } catch (error) {
      if (error instanceof ConfigError && BROKEN_RULES.has(error.code)) this.#reject(error)
      else this.#fail(error)
      return
    }
    const names = this.#names
    try {
      this.#watcher.onUpdate({
        version,
        resources: names === null ? resources : resources.filter(r => names.includes(r.name)),
      })
    } catch (error) {
      this.#reject(error)
    }
  }

  #reject(error: unknown): void {
    const text = reasonOf(error)
    this.#log.warning(`Filesystem config update rejected: ${text}`)
    this.#watcher.onRejected(text)
  }

  /** There is nothing to judge: no file, or none that can be read as resources. */
  #fail(error: unknown): void {
    const text = reasonOf(error)
    this.#log.warning(`Filesystem config update failure: ${text}`)
    this.#watcher.onFailure(text, false)
  }

  #resource(outer: AnyMessage, i: number, version: string, loaded: LoadedMessage<FileResponse>): XdsResource {
    let any = outer
    let at = FieldPath.root().field('resources').index(i).any()
    let name = ''
    if (any.type_url === WRAPPER) {
      const wrapper = any.message as { readonly name?: string; readonly resource?: AnyMessage }
      name = wrapper.name ?? ''
      any = wrapper.resource ?? { type_url: '' }
      at = at.field('resource').any()
    }
    const type = this.#type
    if (any.type_url !== type.typeUrl) {
      const text = `${any.type_url} does not match the type URL ${type.typeUrl}`
      throw loaded.locate(new ConfigError('CONFIG_ANY_TYPE', at, text))
    }
    const message = any.message ?? {}
    if (name === '') name = (message as Record<string, string | undefined>)[type.nameField] ?? ''
    const bytes = any.value ?? encodeMessage(type.typeName, message)
    const origin = { message, at, locate: (error: ConfigError) => loaded.locate(error) }
    return new XdsResource(type, name, bytes, this.#policy, version, origin)
  }
}

/** Changes whenever the file behind the path does: another file, another length, another time of writing. */
function identity(path: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}`
  } catch {
    return 'gone'
  }
}

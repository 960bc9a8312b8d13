import { rmSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Logger } from '../log.ts'
import { LONGEST_TIMER_MS } from '../longest-timer.ts'
import type { Env } from '../node-identity.ts'
import { deadlineAfter } from '../outgoing-http.ts'
import { BlockedAddresses } from './blocked-address.ts'
import { HttpClient } from './http-client.ts'
import { HttpFetcher } from './http-fetch.ts'
import { ImageFetcher } from './image-fetch.ts'
import { imageName, parseImageReference } from './image-reference.ts'
import type { WasmMetrics } from './metrics.ts'
import type { WasmOptions } from './options.ts'
import { sha256 } from './registry.ts'
import { isWasm } from './unpack.ts'

export interface ModuleRequest {
  readonly url: string
  /** sha256, hexadecimal, of the module or of the image's manifest; '': any. */
  readonly checksum: string
  readonly resourceName: string
  readonly resourceVersion: string
  readonly timeoutMs: number
  /** null: none is named. */
  readonly pullSecret: string | null
  readonly pullPolicy: string
}

/** Modules in local files. */
export interface WasmModules {
  /** Path of the file; rejects with Error. */
  get(request: ModuleRequest): Promise<string>
}

export interface ModuleCacheOptions {
  readonly folder: string
  readonly wasm: WasmOptions
  readonly metrics: WasmMetrics
  readonly http: Pick<HttpFetcher, 'fetch'>
  readonly images: Pick<ImageFetcher, 'prepare'>
  /** Monotonic milliseconds. */
  readonly now: () => number
}

interface Entry {
  readonly path: string
  readonly checksum: string
  last: number
  /** Whose checksums are forgotten with it, unless they lead elsewhere by now. */
  readonly urls: Set<string>
}

interface KnownChecksum {
  checksum: string
  /** Of each resource that has asked: a pull is only made for a new version. */
  readonly versions: Map<string, string>
}

const OCI = 'oci://'

const log = new Logger('wasm')

/** Fetched modules, as `folder/SHA256-OF-NAME/CHECKSUM.wasm`, with the rules of Istio's agent (pkg/wasm/cache.go). */
export class ModuleCache implements WasmModules {
  readonly #options: ModuleCacheOptions
  /** By name and checksum. */
  readonly #modules = new Map<string, Entry>()
  /** By URL: what its tag led to last. */
  readonly #checksums = new Map<string, KnownChecksum>()
  readonly #timer: NodeJS.Timeout
  #files = 0

  constructor(options: ModuleCacheOptions) {
    this.#options = options
    const interval = Math.min(options.wasm.purgeIntervalMs, LONGEST_TIMER_MS)
    this.#timer = setInterval(() => this.purge(), interval).unref()
  }

  static open(folder: string, wasm: WasmOptions, env: Env, metrics: WasmMetrics): ModuleCache {
    const client = new HttpClient(new BlockedAddresses(wasm.blockedCidrs))
    const http = new HttpFetcher(client, wasm)
    const images = new ImageFetcher(client, env, wasm.maxBytes)
    return new ModuleCache({ folder, wasm, metrics, http, images, now: () => performance.now() })
  }

  async get(request: ModuleRequest): Promise<string> {
    const { url } = request
    const { scheme, host, rest } = splitUrl(url)
    const name = moduleName(url)
    const cached = this.#find(name, request, request.checksum, ignoresVersion(request.pullPolicy, scheme, url))
    if (cached.entry !== null) return cached.entry.path
    const { wasm, metrics, http, images } = this.#options
    const insecure = wasm.insecureRegistries.has('*') || wasm.insecureRegistries.has(host)
    const deadline = deadlineAfter(request.timeoutMs)
    let checksum: string
    let download: () => Promise<Buffer>
    if (scheme === 'http' || scheme === 'https') {
      const bytes = await http.fetch(new URL(url), insecure, deadline).catch((error: Error) => {
        metrics.fetched('download_failure')
        throw error
      })
      checksum = sha256(bytes)
      download = async () => bytes
    } else if (scheme === 'oci') {
      const { pullSecret } = request
      const found = await images.prepare({ image: rest, pullSecret, insecure, deadline }).catch((error: Error) => {
        metrics.fetched('manifest_failure')
        throw new Error(`could not fetch Wasm OCI image: ${error.message}`)
      })
      checksum = found.checksum
      download = () =>
        found.download().catch((error: Error) => {
          metrics.fetched('download_failure')
          throw new Error(`could not fetch Wasm binary: ${error.message}`)
        })
    } else {
      throw new Error(`unsupported Wasm module downloading URL scheme: ${scheme}`)
    }
    if (cached.checksum === '') {
      // The tag may lead to what is here already.
      const same = this.#find(name, request, checksum, true).entry
      if (same !== null) return same.path
    } else if (checksum !== cached.checksum) {
      metrics.fetched('checksum_mismatched')
      throw new Error(
        `module downloaded from ${url} has checksum ${checksum}, which does not match: ${cached.checksum}`,
      )
    }
    const bytes = await download()
    if (!isWasm(bytes)) {
      metrics.fetched('fetch_failure')
      throw new Error(`fetched Wasm binary from ${url} is invalid`)
    }
    metrics.fetched('success')
    return await this.#add(name, checksum, request, bytes)
  }

  /** Removes what nothing has asked for during the expiry. */
  purge(): void {
    const { now, wasm, metrics } = this.#options
    for (const [key, entry] of this.#modules) {
      if (now() - entry.last <= wasm.moduleExpiryMs) continue
      this.#modules.delete(key)
      for (const url of entry.urls) {
        if (this.#checksums.get(url)?.checksum === entry.checksum) this.#checksums.delete(url)
      }
      try {
        rmSync(entry.path)
        log.debug(`successfully removed stale Wasm module ${entry.path}`)
      } catch (error) {
        log.error(`failed to purge Wasm module ${entry.path}: ${(error as Error).message}`)
      }
    }
    metrics.entries(this.#modules.size)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** The module, if it is here, and the checksum that it must have as far as that is known. */
  #find(
    name: string,
    request: ModuleRequest,
    wanted: string,
    ignoreVersion: boolean,
  ): { readonly entry: Entry | null; readonly checksum: string } {
    const { url, resourceName, resourceVersion } = request
    let checksum = wanted === '' ? digestOf(url) : wanted
    if (checksum === '') {
      const known = this.#checksums.get(url)
      if (known !== undefined) {
        if (ignoreVersion || known.versions.get(resourceName) === resourceVersion) checksum = known.checksum
        known.versions.set(resourceName, resourceVersion)
      }
    }
    const entry = this.#modules.get(`${name} ${checksum}`) ?? null
    this.#options.metrics.lookup(entry !== null)
    if (entry !== null) {
      entry.last = this.#options.now()
      this.#remember(checksum, request, entry)
    }
    return { entry, checksum }
  }

  /** A digest in the URL says it all; a tag, or a URL of HTTP, may lead elsewhere tomorrow. */
  #remember(checksum: string, { url, resourceName, resourceVersion }: ModuleRequest, entry: Entry): void {
    if (url.startsWith(OCI) && url.includes('@')) return
    entry.urls.add(url)
    const known = this.#checksums.get(url)
    if (known === undefined) {
      this.#checksums.set(url, { checksum, versions: new Map([[resourceName, resourceVersion]]) })
      return
    }
    known.checksum = checksum
    known.versions.set(resourceName, resourceVersion)
  }

  async #add(name: string, checksum: string, request: ModuleRequest, bytes: Buffer): Promise<string> {
    const { folder, now, metrics } = this.#options
    const into = join(folder, sha256(Buffer.from(name)))
    const path = join(into, `${checksum}.wasm`)
    const key = `${name} ${checksum}`
    if (!this.#modules.has(key)) {
      await mkdir(into, { recursive: true })
      // The proxy may be reading the file of that name that was there before.
      const part = `${path}.${process.pid}-${++this.#files}`
      try {
        await writeFile(part, bytes, { mode: 0o644 })
        await rename(part, path)
      } catch (error) {
        await rm(part, { force: true })
        throw error
      }
    }
    const entry = this.#modules.get(key) ?? { path, checksum, last: 0, urls: new Set<string>() }
    entry.last = now()
    this.#modules.set(key, entry)
    this.#remember(checksum, request, entry)
    metrics.entries(this.#modules.size)
    return path
  }
}

function splitUrl(url: string): { readonly scheme: string; readonly host: string; readonly rest: string } {
  const found = /^([a-z][a-z0-9+.-]*):(?:\/\/(?:[^/?#@]*@)?([^/?#]*)([^?#]*))?/i.exec(url)
  const [, scheme = '', host = '', path = ''] = found ?? []
  const known = /^https?$/i.test(scheme)
  if (known && !URL.canParse(url)) throw new Error(`fail to parse Wasm module fetch url: ${url}`)
  return { scheme: scheme.toLowerCase(), host, rest: host + path }
}

function moduleName(url: string): string {
  if (!url.startsWith(OCI)) return url
  try {
    return imageName(parseImageReference(url.slice(OCI.length)))
  } catch {
    return url
  }
}

function digestOf(url: string): string {
  if (!url.startsWith(OCI)) return ''
  return /^[^@]*@sha256:([0-9a-f]{64})$/.exec(url)?.[1] ?? ''
}

/** IfNotPresent, but for images that are tagged `latest`, is the default. */
function ignoresVersion(policy: string, scheme: string, url: string): boolean {
  if (policy === 'Always') return false
  return policy === 'IfNotPresent' || scheme !== 'oci' || !url.endsWith(':latest')
}

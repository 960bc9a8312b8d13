import { Logger } from '../log.ts'
import type { Env } from '../node-identity.ts'
import type { HttpClient } from './http-client.ts'
import { credentialsOfPod, credentialsOfSecret } from './image-credentials.ts'
import { type ImageReference, parseImageReference } from './image-reference.ts'
import { type Blob, parseJson, Registry, type RegistryOptions, sha256, verify } from './registry.ts'
import { pluginOfLayer } from './unpack.ts'

export interface ImageRequest {
  /** As after `oci://`. */
  readonly image: string
  /** null: what the pod has of its own. */
  readonly pullSecret: string | null
  readonly insecure: boolean
  readonly deadline: AbortSignal
}

/** An image that is there and has not been downloaded yet. */
export interface Image {
  /** sha256 of its manifest, hexadecimal. */
  readonly checksum: string
  /** The module in it. Rejects with Error. */
  readonly download: () => Promise<Buffer>
}

interface Descriptor extends Blob {
  readonly type: string
  /** Contents that came along; null: to be fetched. */
  readonly data: Buffer | null
}

interface Manifest {
  readonly bytes: Buffer
  readonly type: string
}

const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
const INDEXES = ['application/vnd.docker.distribution.manifest.list.v2+json', 'application/vnd.oci.image.index.v1+json']
const SCHEMA_1 = [
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
]
const ACCEPTED = [DOCKER_MANIFEST, 'application/vnd.oci.image.manifest.v1+json', ...INDEXES]
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip'
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'
const WASM_LAYER = 'application/vnd.module.wasm.content.layer.v1+wasm'
const MAX_NESTED = 4
/** OpenSSL's words for an answer in the clear. An alert is EPROTO too, but comes from a server that has TLS. */
const NOT_TLS = /wrong version number|packet length too long/

const log = new Logger('wasm')

/** Fetches modules from registries, in the layouts of the Wasm image specification that Istio knows (pkg/wasm/imagefetcher.go). */
export class ImageFetcher {
  readonly #client: HttpClient
  readonly #env: Env
  readonly #maxBytes: number
  readonly #waitsMs: readonly number[]

  constructor(client: HttpClient, env: Env, maxBytes: number, waitsMs: readonly number[] = [1000, 3000]) {
    this.#client = client
    this.#env = env
    this.#maxBytes = maxBytes
    this.#waitsMs = waitsMs
  }

  /** Finds the image; rejects with Error. */
  async prepare({ image, pullSecret, insecure, deadline }: ImageRequest): Promise<Image> {
    const reference = parseImageReference(image)
    const { registry: host, repository, identifier } = reference
    log.info(`fetching image ${repository} from registry ${host} with tag ${identifier}`)
    const credentials =
      pullSecret === null ? credentialsOfPod(this.#env, reference) : credentialsOfSecret(pullSecret, reference)
    const options = { client: this.#client, reference, credentials, insecure, deadline, waitsMs: this.#waitsMs }
    const registry = await openRegistry(options, reference)
    const manifest = await imageOf(registry, await registry.manifest(identifier, ACCEPTED), 0)
    return { checksum: sha256(manifest.bytes), download: () => this.#download(registry, manifest) }
  }

  async #download(registry: Registry, manifest: Manifest): Promise<Buffer> {
    const { mediaType, layers } = readImage(manifest.bytes)
    if (mediaType === DOCKER_MANIFEST) return await this.#lastLayer(registry, layers, DOCKER_LAYER)
    let notStandard: string
    try {
      return await this.#lastLayer(registry, layers, OCI_LAYER)
    } catch (error) {
      notStandard = (error as Error).message
    }
    try {
      return await this.#artifact(registry, layers)
    } catch (error) {
      throw new Error(
        `the given image is in invalid format as an OCI image: could not parse as compat variant: ${notStandard}; could not parse as oci variant: ${(error as Error).message}`,
      )
    }
  }

  async #lastLayer(registry: Registry, layers: readonly Descriptor[], type: string): Promise<Buffer> {
    const last = layers.at(-1)
    if (last === undefined) throw new Error('number of layers must be greater than zero')
    if (last.type !== type) throw new Error(`invalid media type ${last.type} (expect ${type})`)
    return await pluginOfLayer(await this.#contents(registry, last), this.#maxBytes)
  }

  async #artifact(registry: Registry, layers: readonly Descriptor[]): Promise<Buffer> {
    if (layers.length !== 2) throw new Error(`number of layers must be 2 but got ${layers.length}`)
    const layer = layers.find(({ type }) => type === WASM_LAYER)
    if (layer === undefined) throw new Error(`could not find the layer of type ${WASM_LAYER}`)
    return await this.#contents(registry, layer)
  }

  async #contents(registry: Registry, layer: Descriptor): Promise<Buffer> {
    if (layer.size > this.#maxBytes) throw new Error(`layer of ${layer.size} bytes exceeds ${this.#maxBytes} bytes`)
    return layer.data ?? (await registry.blob(layer))
  }
}

/** A registry that turns out to speak without TLS is spoken to without, as Istio does. */
async function openRegistry(options: RegistryOptions, { registry, repository }: ImageReference): Promise<Registry> {
  try {
    return await Registry.open(options, false)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'EPROTO' || !NOT_TLS.test(message)) throw error
    log.info(`fetching image with plain text from ${registry}/${repository}`)
    return await Registry.open(options, true)
  }
}

/** Of an index the image for linux/amd64, which a module is as good as for any other; what names no platform is for that. */
async function imageOf(registry: Registry, manifest: Manifest, depth: number): Promise<Manifest> {
  if (SCHEMA_1.includes(manifest.type)) throw new Error(`unsupported MediaType: ${manifest.type}`)
  if (!INDEXES.includes(manifest.type)) return manifest
  if (depth === MAX_NESTED) throw new Error('too many indexes in each other')
  for (const child of arrayIn(parseJson(manifest.bytes), 'manifests')) {
    const { architecture, os } = (child.platform ?? { architecture: 'amd64', os: 'linux' }) as Record<string, unknown>
    if (architecture !== 'amd64' || os !== 'linux') continue
    const { type, digest, data } = descriptorOf(child)
    const bytes = data ?? (await registry.manifest(digest, [type])).bytes
    return await imageOf(registry, { bytes, type }, depth + 1)
  }
  throw new Error('no child with platform linux/amd64 in index')
}

function readImage(bytes: Buffer): { readonly mediaType: unknown; readonly layers: readonly Descriptor[] } {
  const manifest = parseJson(bytes)
  return {
    mediaType: (manifest as { mediaType?: unknown }).mediaType,
    layers: arrayIn(manifest, 'layers').map(descriptorOf),
  }
}

function arrayIn(object: object, name: string): Readonly<Record<string, unknown>>[] {
  const value = (object as Readonly<Record<string, unknown>>)[name]
  return Array.isArray(value) ? value.filter(item => typeof item === 'object' && item !== null) : []
}

function descriptorOf({ mediaType, digest, size, data }: Readonly<Record<string, unknown>>): Descriptor {
  if (typeof digest !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(digest))
    throw new Error(`cannot parse hash: ${digest}`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw new Error(`invalid size of ${digest}`)
  const contents = typeof data === 'string' ? Buffer.from(data, 'base64') : null
  if (contents !== null) {
    if (contents.length !== size) throw new Error(`data of ${digest} has another size`)
    verify(contents, digest)
  }
  return { type: typeof mediaType === 'string' ? mediaType : '', digest, size, data: contents }
}

import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { certificate } from '../../../harness/certificates.ts'

export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
export const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip'
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'
export const WASM_LAYER = 'application/vnd.module.wasm.content.layer.v1+wasm'

export interface Layer {
  readonly type: string
  readonly bytes: Buffer
}

/** A registry that holds what it is given (OCI distribution-spec, reading side). */
export class ToyRegistry {
  readonly #server: Server
  readonly #manifests = new Map<string, Layer>()
  readonly #blobs = new Map<string, Buffer>()
  /** Method, path and authorization of each request. */
  readonly asked: string[] = []
  port = 0
  /** WWW-Authenticate of what has no valid token. */
  challenge = ''
  authorization = ''
  /** What the token server answers; the request's authorization, or its body, must be `credentials`. */
  token: object = { token: 'good' }
  credentials = ''
  /** Answers that come first, whatever is asked. */
  readonly first: number[] = []
  hangs = false
  /** Where blobs are, with DIGEST in it. */
  redirect = ''

  constructor(tls = false) {
    const listener = (request: IncomingMessage, response: ServerResponse): void => this.#answer(request, response)
    this.#server = tls ? createTlsServer(certificate('server'), listener) : createServer(listener)
  }

  async listen(teardown: (close: () => void) => void): Promise<this> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    this.port = (this.#server.address() as AddressInfo).port
    teardown(() => {
      this.#server.close()
      this.#server.closeAllConnections()
    })
    return this
  }

  /** Host and port, by a name that is not local. */
  get host(): string {
    return `registry.test:${this.port}`
  }

  /** Digest. */
  blob(bytes: Buffer): string {
    const digest = digestOf(bytes)
    this.#blobs.set(digest, bytes)
    return digest
  }

  replaceBlob(digest: string, bytes: Buffer): void {
    this.#blobs.set(digest, bytes)
  }

  manifest(tag: string, type: string, object: object): string {
    const bytes = Buffer.from(JSON.stringify(object))
    const digest = digestOf(bytes)
    this.#manifests.set(tag, { type, bytes })
    this.#manifests.set(digest, { type, bytes })
    return digest
  }

  /** Digest of the manifest. */
  image(tag: string, type: string, ...layers: Layer[]): string {
    return this.manifest(tag, type, {
      schemaVersion: 2,
      ...(type === DOCKER_MANIFEST ? { mediaType: type } : {}),
      layers: layers.map(layer => ({
        mediaType: layer.type,
        digest: this.blob(layer.bytes),
        size: layer.bytes.length,
      })),
    })
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', headers } = request
    const authorization = headers.authorization ?? ''
    this.asked.push(`${method} ${url} ${authorization}`.trim())
    const early = this.first.shift()
    if (this.hangs) return
    if (early !== undefined) {
      response.writeHead(early).end()
      return
    }
    const { pathname } = new URL(url, 'http://x')
    if (this.redirect !== '' && pathname.includes('/blobs/')) {
      response.writeHead(307, { location: this.redirect.replace('DIGEST', pathname.split('/').at(-1) ?? '') }).end()
      return
    }
    if (pathname === '/token') {
      let body = ''
      request.setEncoding('utf8').on('data', text => {
        body += text
      })
      request.on('end', () => {
        const known = `${authorization}${body}`.includes(this.credentials)
        response.writeHead(known ? 200 : 401).end(JSON.stringify(this.token))
      })
      return
    }
    if (this.challenge !== '' && authorization !== this.authorization) {
      response.writeHead(401, { 'www-authenticate': this.challenge }).end()
      return
    }
    const [, kind, name = ''] = /^\/v2\/a\/plugin\/(manifests|blobs)\/(.+)$/.exec(pathname) ?? []
    const manifest = this.#manifests.get(name)
    const blob = this.#blobs.get(name)
    if (pathname === '/v2/') response.end()
    else if (kind === 'manifests' && manifest !== undefined && (headers.accept ?? '').includes(manifest.type))
      response.writeHead(200, { 'content-type': manifest.type }).end(manifest.bytes)
    else if (kind === 'blobs' && blob !== undefined) response.end(blob)
    else response.writeHead(404).end('{"errors":[{"code":"NAME_UNKNOWN"}]}\nerror\tforged')
  }
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

import { isPrivateOrLocal } from './blocked-address.ts'

/** `docker.io/istio/plugin:1.0`, taken apart as go-containerregistry does (pkg/name, weak validation). */
export interface ImageReference {
  /** host or host:port; Docker Hub is index.docker.io. */
  readonly registry: string
  readonly repository: string
  /** A tag, or `sha256:` and 64 hexadecimal digits. */
  readonly identifier: string
  /** Private and local registries are tried without TLS too. */
  readonly plainAllowed: boolean
}

export const DOCKER_HUB = 'index.docker.io'

/** Throws Error when it is none. */
export function parseImageReference(text: string): ImageReference {
  const [base = '', digest, ...rest] = text.split('@')
  const colon = base.lastIndexOf(':')
  const tagged = colon >= 0 && !base.slice(colon + 1).includes('/')
  const name = tagged ? base.slice(0, colon) : base
  const tag = tagged ? base.slice(colon + 1) : 'latest'
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(slash, 0))
  const hasRegistry = first.includes('.') || first.includes(':')
  const host = hasRegistry ? first : ''
  const path = hasRegistry ? name.slice(slash + 1) : name
  const valid =
    rest.length === 0 &&
    (digest === undefined ? /^[\w.-]{1,128}$/.test(tag) : /^sha256:[0-9a-f]{64}$/.test(digest)) &&
    /^[a-z0-9_./-]{2,255}$/.test(path) &&
    !path.split('/').some(part => part === '.' || part === '..') &&
    /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]*)(:\d{0,5})?$/.test(host)
  if (!valid) throw new Error(`could not parse reference: ${text}`)
  const registry = host === '' || host === 'docker.io' ? DOCKER_HUB : host
  return {
    registry,
    repository: registry === DOCKER_HUB && !path.includes('/') ? `library/${path}` : path,
    identifier: digest ?? tag,
    plainAllowed: isLocal(registry),
  }
}

/** What modules of the same image are kept under, whatever the tag: `oci://registry/repository`. */
export function imageName({ registry, repository }: ImageReference): string {
  return `oci://${registry}/${repository}`
}

/** As in go-containerregistry 0.21.9: older ones, Istio's too, take every name with `127.0.0.1` or `::1` in it for local. */
function isLocal(registry: string): boolean {
  if (/^(localhost:.*|(.*\.localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?)$/.test(registry)) return true
  const host = registry.split(':')[0] as string
  return /^(10|172|192)\./.test(host) && isPrivateOrLocal(host)
}

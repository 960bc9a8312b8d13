import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Env } from '../node-identity.ts'
import { DOCKER_HUB, type ImageReference } from './image-reference.ts'

/** Of one registry; '' is none of the kind. All empty: anonymous. */
export interface ImageCredentials {
  readonly username: string
  readonly password: string
  /** An OAuth2 refresh token. */
  readonly identityToken: string
  /** Sent as it stands. */
  readonly registryToken: string
}

export const ANONYMOUS: ImageCredentials = { username: '', password: '', identityToken: '', registryToken: '' }

/** Docker Hub's name in configuration files, for historical reasons. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/'

/** From a pull secret, the text of a `.dockerconfigjson`. Throws Error when it cannot be used. */
export function credentialsOfSecret(secret: string, { registry }: ImageReference): ImageCredentials {
  return credentialsIn(secret, [registry])
}

/** From Docker's configuration file, or Podman's, where the pod has one. Throws Error when it cannot be used. */
export function credentialsOfPod(env: Env, { registry, repository }: ImageReference): ImageCredentials {
  const path = configPath(env)
  if (path === null) return ANONYMOUS
  return credentialsIn(readFileSync(path, 'utf8'), [`${registry}/${repository}`, registry])
}

function configPath(env: Env): string | null {
  const home = env.HOME ? join(env.HOME, '.docker/config.json') : ''
  const named = env.DOCKER_CONFIG ? join(env.DOCKER_CONFIG, 'config.json') : home
  const podman = env.REGISTRY_AUTH_FILE ?? ''
  const runtime = env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'containers/auth.json') : ''
  return [named, podman, runtime].find(path => path !== '' && existsSync(path)) ?? null
}

function credentialsIn(text: string, keys: readonly string[]): ImageCredentials {
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch {
    // The parser's message would quote the secret.
    throw new Error('registry credentials are no JSON')
  }
  if (!isObject(config)) throw new Error('registry credentials are no JSON object')
  const auths = isObject(config.auths) ? config.auths : {}
  for (const key of keys) {
    const wanted = key === DOCKER_HUB ? DOCKER_HUB_KEY : key
    const found =
      auths[wanted] ??
      Object.entries(auths).find(([address]) => isObject(auths[address]) && hostOf(address) === wanted)?.[1]
    const credentials = isObject(found) ? credentialsOf(found) : ANONYMOUS
    if (Object.values(credentials).some(value => value !== '')) return credentials
  }
  if (isObject(config.credHelpers) || typeof config.credsStore === 'string') {
    throw new Error('credential helpers are not supported: put the credentials into auths')
  }
  return ANONYMOUS
}

function credentialsOf(entry: Readonly<Record<string, unknown>>): ImageCredentials {
  const read = (name: string): string => (typeof entry[name] === 'string' ? entry[name] : '')
  let [username, password] = [read('username'), read('password')]
  const auth = read('auth')
  if (auth !== '') {
    const decoded = Buffer.from(auth, 'base64').toString()
    const colon = decoded.indexOf(':')
    if (colon < 1) throw new Error('registry credentials: auth is not the base64 of user:password')
    username = decoded.slice(0, colon)
    password = decoded.slice(colon + 1).replaceAll(/^\0+|\0+$/g, '')
  }
  return { username, password, identityToken: read('identitytoken'), registryToken: read('registrytoken') }
}

/** Older files have URLs for keys. A port stays, also the one of the scheme: it is a part of the registry's name. */
function hostOf(address: string): string {
  return address.replace(/^https?:\/\//, '').split('/')[0] as string
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

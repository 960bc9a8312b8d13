import { ConfigError } from '../../../base/errors.ts'
import { parseCoreRetryPolicy } from '../../../config/core-retry-policy.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { defineSupport } from '../../../config/support.ts'
import type { RetryPolicyConfig } from '../../../routing/route-config.ts'

type RemoteJwks = envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks
type AsyncFetch = envoy.extensions.filters.http.jwt_authn.v3.JwksAsyncFetch

/** Where keys are fetched from. Times in ms. */
export interface FetchConfig {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly path: string
  readonly cluster: string
  readonly timeout: number
  readonly cacheDuration: number
  readonly retry: RetryPolicyConfig | null
  /** Fetched before a request needs them, and again before they expire. */
  readonly ahead: boolean
  readonly failedRefetch: number
}

const support = defineSupport<RemoteJwks>('envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks', {
  http_uri: 'yes',
  cache_duration: 'yes',
  async_fetch: 'yes',
  retry_policy: 'yes',
})

const asyncSupport = defineSupport<AsyncFetch>('envoy.extensions.filters.http.jwt_authn.v3.JwksAsyncFetch', {
  // Listeners do not wait for keys here: a request that comes before them fetches them itself.
  fast_listener: 'yes',
  failed_refetch_duration: 'yes',
})

/** What Envoy retries fetches after. */
const RETRY_ON = '5xx,gateway-error,connect-failure,reset'

/** `/` and what follows it may be missing. */
const URI = /^(https?):\/\/([^/?#]+)([^#]*)/

export function parseFetch(provider: string, proto: RemoteJwks, at: FieldPath, warnings: string[]): FetchConfig {
  support.check(proto, at, warnings)
  const uri = proto.http_uri?.uri ?? ''
  const parts = URI.exec(uri)
  if (parts === null) {
    const text = `Provider '${provider}' has an invalid URI: '${uri}'`
    throw new ConfigError('CONFIG_INVALID', at.field('http_uri').field('uri'), text)
  }
  const ahead = proto.async_fetch
  if (ahead !== undefined) asyncSupport.check(ahead, at.field('async_fetch'), warnings)
  return {
    scheme: parts[1] as 'http' | 'https',
    authority: parts[2]!,
    path: parts[3] === '' ? '/' : parts[3]!.startsWith('?') ? `/${parts[3]!}` : parts[3]!,
    cluster: proto.http_uri?.cluster ?? '',
    timeout: proto.http_uri?.timeout ?? 5000,
    cacheDuration: proto.cache_duration ?? 600_000,
    retry: parseCoreRetryPolicy(proto.retry_policy, RETRY_ON, at.field('retry_policy'), warnings),
    ahead: ahead !== undefined,
    failedRefetch: ahead?.failed_refetch_duration ?? 1000,
  }
}

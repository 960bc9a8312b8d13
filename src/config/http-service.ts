import { ConfigError } from '../base/errors.ts'
import type { HeaderAddConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { FormatExtension } from './format-string.ts'
import type { envoy } from './gen/messages.d.ts'
import { parseHeadersToAdd } from './route-headers.ts'
import { parseFormatters } from './substitution-format.ts'
import { defineSupport } from './support.ts'

type Proto = envoy.config.core.v3.HttpService

/** An HTTP service that the data plane sends to (OTLP over HTTP), parsed and cloneable. */
export interface HttpServiceConfig {
  /** Looked up at each call. */
  readonly cluster: string
  readonly authority: string
  /** With the query; `/` when the URI has none. */
  readonly path: string
  /** ms; 0 = none. */
  readonly timeout: number
  /** request_headers_to_add: formats that see no request, only what the process knows. */
  readonly headers: readonly HeaderAddConfig[]
  readonly extensions: readonly FormatExtension[]
}

const SUPPORT = defineSupport<Proto>('envoy.config.core.v3.HttpService', {
  http_uri: 'yes',
  request_headers_to_add: 'yes',
  formatters: 'yes',
})

/** envoy.config.core.v3.HttpService. Throws ConfigError. */
export function parseHttpService(proto: Proto, at: FieldPath, warnings: string[]): HttpServiceConfig {
  SUPPORT.check(proto, at, warnings)
  const { uri = '', cluster = '', timeout = 0 } = proto.http_uri ?? {}
  if (uri === '') throw new ConfigError('CONFIG_INVALID', at.field('http_uri').field('uri'), 'a URI is required')
  // Without a scheme all of it is host and path (Http::Utility::extractHostPathFromUri).
  const rest = uri.slice(uri.indexOf('://') < 0 ? 0 : uri.indexOf('://') + 3)
  const slash = rest.indexOf('/')
  const extensions = parseFormatters(proto.formatters, at.field('formatters'))
  return {
    cluster,
    authority: slash < 0 ? rest : rest.slice(0, slash),
    path: slash < 0 ? '/' : rest.slice(slash),
    timeout,
    headers: parseHeadersToAdd(proto.request_headers_to_add, at.field('request_headers_to_add'), extensions),
    extensions,
  }
}

import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { parseStringMatcher, type StringMatchConfig } from '../../../config/matcher.ts'
import { type ParsedExtension, parseAny } from '../../../config/registry.ts'
import { defineSupport } from '../../../config/support.ts'

type Proto = envoy.extensions.filters.http.compressor.v3.Compressor
type Common = envoy.extensions.filters.http.compressor.v3.Compressor_CommonDirectionConfig
type Request = envoy.extensions.filters.http.compressor.v3.Compressor_RequestDirectionConfig
type Response = envoy.extensions.filters.http.compressor.v3.Compressor_ResponseDirectionConfig
type PerRoute = envoy.extensions.filters.http.compressor.v3.CompressorPerRoute
type Overrides = envoy.extensions.filters.http.compressor.v3.CompressorOverrides
type ResponseOverrides = envoy.extensions.filters.http.compressor.v3.ResponseDirectionOverrides
type Flag = envoy.config.core.v3.RuntimeFeatureFlag
type Library = envoy.config.core.v3.TypedExtensionConfig

const PACKAGE = 'envoy.extensions.filters.http.compressor.v3'
const support = defineSupport<Proto>(`${PACKAGE}.Compressor`, {
  compressor_library: 'yes',
  request_direction_config: 'yes',
  response_direction_config: 'yes',
  choose_first: 'yes',
  content_length: 'yes',
  content_type: 'yes',
  disable_on_etag_header: 'yes',
  remove_accept_encoding_header: 'yes',
  runtime_enabled: 'yes',
})
const commonSupport = defineSupport<Common>(`${PACKAGE}.Compressor.CommonDirectionConfig`, {
  enabled: 'yes',
  min_content_length: 'yes',
  content_type: 'yes',
  content_type_matcher: 'yes',
})
const requestSupport = defineSupport<Request>(`${PACKAGE}.Compressor.RequestDirectionConfig`, { common_config: 'yes' })
const responseSupport = defineSupport<Response>(`${PACKAGE}.Compressor.ResponseDirectionConfig`, {
  common_config: 'yes',
  disable_on_etag_header: 'yes',
  remove_accept_encoding_header: 'yes',
  uncompressible_response_codes: 'yes',
  status_header_enabled: 'yes',
  weaken_etag_on_compress: 'yes',
})
const perRouteSupport = defineSupport<PerRoute>(`${PACKAGE}.CompressorPerRoute`, { disabled: 'yes', overrides: 'yes' })
const overridesSupport = defineSupport<Overrides>(`${PACKAGE}.CompressorOverrides`, {
  response_direction_config: 'yes',
  compressor_library: 'yes',
})
const responseOverridesSupport = defineSupport<ResponseOverrides>(`${PACKAGE}.ResponseDirectionOverrides`, {
  remove_accept_encoding_header: 'yes',
})

/** What both directions have. */
export interface DirectionConfig {
  readonly enabled: { readonly byDefault: boolean; readonly key: string }
  readonly minContentLength: number
  /** Lower case, without parameters. */
  readonly contentTypes: readonly string[]
  /** Instead of `contentTypes` when there are any. */
  readonly contentTypeMatchers: readonly StringMatchConfig[]
}

export interface ResponseConfig extends DirectionConfig {
  readonly disableOnEtag: boolean
  readonly removeAcceptEncoding: boolean
  readonly uncompressibleCodes: readonly number[]
  readonly statusHeader: boolean
  readonly weakenEtag: boolean
}

export interface CompressorConfig {
  readonly library: ParsedExtension
  readonly chooseFirst: boolean
  readonly response: ResponseConfig
  /** False: the deprecated fields of the filter are in use, and stats of responses have no `response.` in their names. */
  readonly hasResponseConfig: boolean
  /** null: requests are left alone. */
  readonly request: DirectionConfig | null
}

export interface CompressorOverride {
  readonly disabled: boolean
  /** null: as the filter has it. */
  readonly removeAcceptEncoding: boolean | null
  readonly library: ParsedExtension | null
}

/** compressor_filter.cc: the types that a page is made of. */
const DEFAULT_TYPES = [
  'text/html',
  'text/plain',
  'text/css',
  'application/javascript',
  'application/x-javascript',
  'text/javascript',
  'text/x-javascript',
  'text/ecmascript',
  'text/js',
  'text/jscript',
  'text/x-js',
  'application/ecmascript',
  'application/x-json',
  'application/xml',
  'application/json',
  'image/svg+xml',
  'text/xml',
  'application/xhtml+xml',
  'application/grpc-web',
  'application/grpc-web+proto',
  'application/grpc-web-text',
  'application/grpc-web-text+proto',
]
const DEFAULT_MIN_LENGTH = 30

export function parseCompressor(proto: Proto, at: FieldPath, warnings: string[]): CompressorConfig {
  support.check(proto, at, warnings)
  const { response_direction_config: response, request_direction_config: request } = proto
  return {
    library: parseLibrary(proto.compressor_library, at.field('compressor_library'), warnings),
    chooseFirst: proto.choose_first ?? false,
    response:
      response === undefined
        ? legacyResponse(proto)
        : parseResponse(response, at.field('response_direction_config'), warnings),
    hasResponseConfig: response !== undefined,
    request: request === undefined ? null : parseRequest(request, at.field('request_direction_config'), warnings),
  }
}

export function parseCompressorOverride(proto: PerRoute, at: FieldPath, warnings: string[]): CompressorOverride {
  perRouteSupport.check(proto, at, warnings)
  const { overrides } = proto
  const inner = at.field('overrides')
  if (overrides !== undefined) overridesSupport.check(overrides, inner, warnings)
  const response = overrides?.response_direction_config
  if (response !== undefined)
    responseOverridesSupport.check(response, inner.field('response_direction_config'), warnings)
  const library = overrides?.compressor_library
  return {
    disabled: proto.disabled ?? false,
    removeAcceptEncoding: response?.remove_accept_encoding_header ?? null,
    library: library === undefined ? null : parseLibrary(library, inner.field('compressor_library'), warnings),
  }
}

function parseLibrary(proto: Library | undefined, at: FieldPath, warnings: string[]): ParsedExtension {
  const category = 'envoy.compression.compressor'
  return parseAny(proto?.typed_config, category, proto?.name ?? '', at.field('typed_config'), warnings)
}

/** Before there were directions, the filter itself had what responses need. */
function legacyResponse(proto: Proto): ResponseConfig {
  return {
    enabled: parseFlag(proto.runtime_enabled),
    minContentLength: proto.content_length ?? DEFAULT_MIN_LENGTH,
    contentTypes: typesOf(proto.content_type),
    contentTypeMatchers: [],
    disableOnEtag: proto.disable_on_etag_header ?? false,
    removeAcceptEncoding: proto.remove_accept_encoding_header ?? false,
    uncompressibleCodes: [],
    statusHeader: false,
    weakenEtag: false,
  }
}

function parseResponse(proto: Response, at: FieldPath, warnings: string[]): ResponseConfig {
  responseSupport.check(proto, at, warnings)
  return {
    ...parseCommon(proto.common_config, at.field('common_config'), warnings),
    disableOnEtag: proto.disable_on_etag_header ?? false,
    removeAcceptEncoding: proto.remove_accept_encoding_header ?? false,
    uncompressibleCodes: proto.uncompressible_response_codes ?? [],
    statusHeader: proto.status_header_enabled ?? false,
    weakenEtag: proto.weaken_etag_on_compress ?? false,
  }
}

function parseRequest(proto: Request, at: FieldPath, warnings: string[]): DirectionConfig {
  requestSupport.check(proto, at, warnings)
  return parseCommon(proto.common_config, at.field('common_config'), warnings)
}

function parseCommon(proto: Common | undefined, at: FieldPath, warnings: string[]): DirectionConfig {
  if (proto !== undefined) commonSupport.check(proto, at, warnings)
  const matchers = at.field('content_type_matcher')
  return {
    enabled: parseFlag(proto?.enabled),
    minContentLength: proto?.min_content_length ?? DEFAULT_MIN_LENGTH,
    contentTypes: typesOf(proto?.content_type),
    contentTypeMatchers: (proto?.content_type_matcher ?? []).map((m, i) => parseStringMatcher(m, matchers.index(i))),
  }
}

function parseFlag(flag: Flag | undefined): DirectionConfig['enabled'] {
  return { byDefault: flag?.default_value ?? true, key: flag?.runtime_key ?? '' }
}

function typesOf(configured: readonly string[] | undefined): readonly string[] {
  return configured === undefined || configured.length === 0 ? DEFAULT_TYPES : configured.map(t => t.toLowerCase())
}

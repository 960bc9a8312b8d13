import { parseAccessLogFilter } from '../config/access-log.ts'
import { readDataSource } from '../config/data-source.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { FormatConfig } from '../config/format-string.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { parseHeadersToAdd } from '../config/route-headers.ts'
import type { WorkerServices } from '../config/services.ts'
import { parseSubstitutionFormat } from '../config/substitution-format.ts'
import { defineSupport } from '../config/support.ts'
import { HeaderMutation } from '../routing/header-mutation.ts'
import type { HeaderAddConfig } from '../routing/route-config.ts'
import { type AccessLogFilter, compileAccessLogFilter } from '../telemetry/access-log-filter.ts'
import type { AccessLogFilterConfig } from '../telemetry/access-log-filter-config.ts'
import type { Formatter } from '../telemetry/format-context.ts'
import { compileFormatConfig } from '../telemetry/formatter.ts'
import type { LocalReply, LocalReplyRewriter } from './local-reply.ts'
import type { StreamContext } from './stream-context.ts'

type Proto = envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig
type MapperProto = envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper

const mapperSupport = defineSupport<MapperProto>(
  'envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper',
  {
    filter: 'yes',
    status_code: 'yes',
    body: 'yes',
    body_format_override: 'yes',
    headers_to_add: 'yes',
  },
)

/** envoy…http_connection_manager.v3.LocalReplyConfig, parsed. */
export interface LocalReplyConfig {
  readonly mappers: readonly LocalReplyMapperConfig[]
  readonly bodyFormat: FormatConfig | null
}

export interface LocalReplyMapperConfig {
  readonly filter: AccessLogFilterConfig
  /** 0 = unchanged. */
  readonly statusCode: number
  /** latin1; null = unchanged. */
  readonly body: string | null
  readonly bodyFormat: FormatConfig | null
  readonly headersToAdd: readonly HeaderAddConfig[]
}

export function parseLocalReply(proto: Proto, at: FieldPath, warnings: string[]): LocalReplyConfig {
  return {
    mappers: (proto.mappers ?? []).map((mapper, i) => parseMapper(mapper, at.field('mappers').index(i), warnings)),
    bodyFormat:
      proto.body_format === undefined ? null : parseSubstitutionFormat(proto.body_format, at.field('body_format')),
  }
}

function parseMapper(proto: MapperProto, at: FieldPath, warnings: string[]): LocalReplyMapperConfig {
  mapperSupport.check(proto, at, warnings)
  const body = proto.body === undefined ? null : readDataSource(proto.body, at.field('body'))
  return {
    filter: parseAccessLogFilter(proto.filter ?? {}, at.field('filter')),
    statusCode: proto.status_code ?? 0,
    body: body === null ? null : Buffer.from(body).toString('latin1'),
    bodyFormat:
      proto.body_format_override === undefined
        ? null
        : parseSubstitutionFormat(proto.body_format_override, at.field('body_format_override')),
    headersToAdd: parseHeadersToAdd(proto.headers_to_add ?? [], at.field('headers_to_add')),
  }
}

export function createReplyRewriter(config: LocalReplyConfig, services: WorkerServices): LocalReplyRewriter {
  return new Rewriter(config, services)
}

/** A format and the content type it brings: JSON formats are application/json unless told otherwise. */
class BodyFormat {
  readonly formatter: Formatter
  readonly contentType: string

  constructor(config: FormatConfig) {
    this.formatter = compileFormatConfig(config)
    this.contentType =
      config.contentType !== '' ? config.contentType : config.json === null ? 'text/plain' : 'application/json'
  }
}

class Mapper {
  readonly filter: AccessLogFilter
  readonly config: LocalReplyMapperConfig
  readonly format: BodyFormat | null
  readonly headers: HeaderMutation

  constructor(config: LocalReplyMapperConfig, services: WorkerServices) {
    this.config = config
    this.filter = compileAccessLogFilter(config.filter, services)
    this.format = config.bodyFormat === null ? null : new BodyFormat(config.bodyFormat)
    this.headers = new HeaderMutation(config.headersToAdd, [])
  }
}

/** Envoy: LocalReplyImpl::rewrite. The first mapper whose filter passes applies; then the format. */
class Rewriter implements LocalReplyRewriter {
  private readonly mappers: readonly Mapper[]
  private readonly format: BodyFormat | null

  constructor(config: LocalReplyConfig, services: WorkerServices) {
    this.mappers = config.mappers.map(mapper => new Mapper(mapper, services))
    this.format = config.bodyFormat === null ? null : new BodyFormat(config.bodyFormat)
  }

  rewrite(reply: LocalReply, context: StreamContext): void {
    let format = this.format
    for (const mapper of this.mappers) {
      if (!mapper.filter.passes(context, 'DownstreamEnd')) continue
      const { config } = mapper
      if (config.body !== null) reply.body = config.body
      mapper.headers.apply(context.responseHeaders!, context)
      if (config.statusCode !== 0) {
        reply.status = config.statusCode
        context.responseHeaders!.status = config.statusCode
        context.info.responseCode = config.statusCode
      }
      if (mapper.format !== null) format = mapper.format
      break
    }
    if (format === null) return
    context.localReplyBody = reply.body
    reply.body = format.formatter.format(context)
    reply.contentType = format.contentType
  }
}

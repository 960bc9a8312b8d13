import { VERSION_TEXT } from '../../../base/version.ts'
import { HeaderBlock, internName } from '../../../codec/header-block.ts'
import type { HttpServiceConfig } from '../../../config/http-service.ts'
import type { CallOuts, GrpcClient, WorkerServices } from '../../../config/services.ts'
import type { FormatContext } from '../../format-context.ts'
import { compileFormat, type TextFormatter } from '../../formatter.ts'
import { StreamInfo } from '../../stream-info.ts'
import type { LogTransportConfig } from './config.ts'
import type { Export } from './export.ts'

/** Where batches go: an encoded ExportLogsServiceRequest each. */
export interface LogTransport {
  send(message: Uint8Array, batch: Export): void
}

export function createTransport(config: LogTransportConfig, services: WorkerServices): LogTransport {
  if (config.kind === 'http') return new OtlpHttp(config.service, services.callOuts)
  // Envoy's logger takes no notice of the timeout. Without one a collector that never answers holds batches until its connection ends.
  return new OtlpGrpc(services.callOuts.grpc(config.service), Math.max(0, config.service.timeout))
}

const METHOD = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'

class OtlpGrpc implements LogTransport {
  readonly #client: GrpcClient
  readonly #timeout: number

  constructor(client: GrpcClient, timeout: number) {
    this.#client = client
    this.#timeout = timeout
  }

  send(message: Uint8Array, batch: Export): void {
    this.#client.call(METHOD, message, this.#timeout, batch, null)
  }
}

/** As the OTLP specification wants it: https://opentelemetry.io/docs/specs/otlp/#otlphttp and "User Agent" of the exporters. */
const USER_AGENT = `OTel-OTLP-Exporter-Envoy/${VERSION_TEXT}`
/** Only the status is looked at. */
const MAX_ANSWER = 64 * 1024

class OtlpHttp implements LogTransport {
  readonly #callOuts: CallOuts
  readonly #service: HttpServiceConfig
  readonly #headers: readonly { readonly name: string; readonly action: string; readonly format: TextFormatter }[]

  constructor(service: HttpServiceConfig, callOuts: CallOuts) {
    this.#callOuts = callOuts
    this.#service = service
    this.#headers = service.headers.map(({ name, value, action }) => ({
      name: internName(name),
      action,
      format: compileFormat(value, false, service.extensions),
    }))
  }

  send(message: Uint8Array, batch: Export): void {
    const { cluster, timeout } = this.#service
    this.#callOuts.http({ cluster, timeout, retry: null, maxBody: MAX_ANSWER }, this.#head(), message, batch)
  }

  #head(): HeaderBlock {
    const h = new HeaderBlock()
    h.method = 'POST'
    h.path = this.#service.path
    h.authority = this.#service.authority
    h.push('content-type', 'application/x-protobuf')
    h.push('user-agent', USER_AGENT)
    const nothing = noRequest()
    for (const { name, action, format } of this.#headers) {
      const value = format.format(nothing)
      const known = h.has(name)
      if (action === 'ifAbsent' ? known : action === 'overwriteIfExists' && !known) continue
      // The new value stands at the end, as HeaderMap::setReferenceKey leaves it.
      if (action !== 'append') h.remove(name)
      h.push(name, value)
    }
    return h
  }
}

/** What formats of a sender see: no request and no connection. */
function noRequest(): FormatContext {
  return {
    info: new StreamInfo(),
    requestHeaders: null,
    responseHeaders: null,
    responseTrailers: null,
    localReplyBody: '',
  }
}

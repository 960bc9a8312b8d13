import { OTLP_USER_AGENT } from '../../../base/version.ts'
import type { HttpServiceConfig } from '../../../config/http-service.ts'
import type { CallOuts, GrpcClient, WorkerServices } from '../../../config/services.ts'
import { ServiceRequest } from '../../service-request.ts'
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

/** Only the status is looked at. */
const MAX_ANSWER = 64 * 1024

class OtlpHttp implements LogTransport {
  readonly #callOuts: CallOuts
  readonly #service: HttpServiceConfig
  readonly #request: ServiceRequest

  constructor(service: HttpServiceConfig, callOuts: CallOuts) {
    this.#callOuts = callOuts
    this.#service = service
    this.#request = new ServiceRequest(service, [
      'content-type',
      'application/x-protobuf',
      'user-agent',
      OTLP_USER_AGENT,
    ])
  }

  send(message: Uint8Array, batch: Export): void {
    const { cluster, timeout } = this.#service
    this.#callOuts.http({ cluster, timeout, retry: null, maxBody: MAX_ANSWER }, this.#request.head(), message, batch)
  }
}

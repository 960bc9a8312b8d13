import { TimerNode, type TimerOwner } from '../../../base/timer.ts'
import { OTLP_USER_AGENT } from '../../../base/version.ts'
import type { GrpcServiceConfig } from '../../../config/grpc-service.ts'
import type { HttpServiceConfig } from '../../../config/http-service.ts'
import type {
  CallOptions,
  CallOuts,
  CallUser,
  GrpcCallUser,
  GrpcClient,
  PendingCall,
  WorkerServices,
} from '../../../config/services.ts'
import { ServiceRequest } from '../../service-request.ts'

/** Envoy's calls have no end but the collector's; this is the time limit of OpenTelemetry's own exporters. */
const GRPC_LIMIT = 10_000
/** A collector's answer is of no interest; one that does not end is cut. */
const MAX_ANSWER = 64 * 1024
/** Calls to a slow collector. */
const MAX_UNDER_WAY = 64

/** Sends batches to a collector; what becomes of them is told to nobody, as with Envoy. */
export interface Exporter {
  /** So many calls are under way that what comes now is to be dropped. */
  readonly full: boolean
  send(batch: Uint8Array): void
}

/** OTLP/HTTP with protobuf bodies. */
export class HttpExporter implements Exporter, CallUser {
  readonly #callOuts: CallOuts
  readonly #options: CallOptions
  readonly #request: ServiceRequest
  #underWay = 0

  constructor(service: HttpServiceConfig, services: WorkerServices) {
    const { cluster, timeout } = service
    this.#callOuts = services.callOuts
    this.#options = { cluster, timeout, retry: null, maxBody: MAX_ANSWER }
    const fixed = ['content-type', 'application/x-protobuf', 'user-agent', OTLP_USER_AGENT]
    this.#request = new ServiceRequest(service, fixed)
  }

  get full(): boolean {
    return this.#underWay >= MAX_UNDER_WAY
  }

  send(batch: Uint8Array): void {
    this.#underWay++
    this.#callOuts.http(this.#options, this.#request.head(), batch, this)
  }

  onCallDone(): void {
    this.#underWay--
  }

  onCallFailed(): void {
    this.#underWay--
  }
}

/** OTLP/gRPC. */
export class GrpcExporter implements Exporter {
  /** Path of the service's Export. */
  readonly method: string
  readonly client: GrpcClient
  readonly timers: WorkerServices['timers']
  underWay = 0

  constructor(service: GrpcServiceConfig, services: WorkerServices, method: string) {
    this.method = method
    this.client = services.callOuts.grpc(service)
    this.timers = services.timers
  }

  get full(): boolean {
    return this.underWay >= MAX_UNDER_WAY
  }

  send(batch: Uint8Array): void {
    this.underWay++
    new GrpcReport(this).start(batch)
  }
}

class GrpcReport implements GrpcCallUser, TimerOwner {
  readonly #exporter: GrpcExporter
  readonly #limit: TimerNode
  #call: PendingCall | null = null
  #over = false

  constructor(exporter: GrpcExporter) {
    this.#exporter = exporter
    this.#limit = new TimerNode(this, 0)
  }

  start(batch: Uint8Array): void {
    this.#exporter.timers.arm(this.#limit, GRPC_LIMIT)
    const call = this.#exporter.client.call(this.#exporter.method, batch, 0, this, null)
    if (!this.#over) this.#call = call
  }

  onReply(): void {
    this.#end()
  }

  onFailure(): void {
    this.#end()
  }

  onTimer(): void {
    this.#call?.cancel()
    this.#end()
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#exporter.underWay--
    this.#exporter.timers.cancel(this.#limit)
  }
}

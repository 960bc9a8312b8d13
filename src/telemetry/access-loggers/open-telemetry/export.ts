import type { Log } from '../../../base/log.ts'
import type { HeaderBlock } from '../../../codec/header-block.ts'
import type { GrpcCallUser, WorkerServices } from '../../../config/services.ts'
import { WireReader } from '../../../config/wire-reader.ts'
import type { Counter } from '../../../stats/stats.ts'
import type { OpenTelemetryConfig } from './config.ts'

/** One batch under way, by gRPC or HTTP. */
export class Export implements GrpcCallUser {
  readonly #count: number
  readonly #outcomes: ExportOutcomes

  constructor(count: number, outcomes: ExportOutcomes) {
    this.#count = count
    this.#outcomes = outcomes
  }

  onReply(message: Uint8Array): void {
    let rejected: number
    try {
      rejected = rejectedRecords(message)
    } catch {
      this.#outcomes.add(0, this.#count, 'the answer is no ExportLogsServiceResponse')
      return
    }
    const lost = Math.min(rejected, this.#count)
    this.#outcomes.add(this.#count - lost, lost, lost === 0 ? '' : `${lost} records were refused`)
  }

  onFailure(status: number, text: string): void {
    this.#outcomes.add(0, this.#count, `grpc-status ${status}${text === '' ? '' : `, ${text}`}`)
  }

  /** Envoy knows no success but 200. */
  onCallDone({ status }: HeaderBlock): void {
    if (status === 200) this.#outcomes.add(this.#count, 0, '')
    else this.#outcomes.add(0, this.#count, `status ${status}`)
  }

  onCallFailed(_status: number, text: string): void {
    this.#outcomes.add(0, this.#count, text)
  }
}

/** Counts what became of the records, and tells the log when sending begins to fail and when it works again. */
export class ExportOutcomes {
  readonly #written: Counter
  readonly #dropped: Counter
  readonly #log: Log
  readonly #name: string
  #failing = false

  constructor(config: OpenTelemetryConfig, services: WorkerServices) {
    const stats = services.stats.scope(config.statsPrefix)
    this.#written = stats.counter('logs_written')
    this.#dropped = stats.counter('logs_dropped')
    this.#log = services.log('misc')
    this.#name = config.logName
  }

  add(written: number, dropped: number, why: string): void {
    this.#written.add(written)
    this.#dropped.add(dropped)
    const failing = dropped > 0
    if (failing && !this.#failing) {
      this.#log.warning(`OpenTelemetry access log '${this.#name}': ${why}; records are dropped, traffic goes on`)
    } else if (!failing && this.#failing) this.#log.info(`OpenTelemetry access log '${this.#name}': sent again`)
    this.#failing = failing
  }
}

/** ExportLogsServiceResponse.partial_success.rejected_log_records. Throws WireError. */
function rejectedRecords(message: Uint8Array): number {
  const r = new WireReader(message)
  let rejected = 0
  while (r.at < r.end) {
    const tag = r.uint32()
    if (tag !== 10) {
      r.skip(tag & 7)
      continue
    }
    const end = r.delimited()
    const inner = new WireReader(message, r.at, end)
    while (inner.at < inner.end) {
      const field = inner.uint32()
      if (field === 8) rejected = Number(BigInt.asIntN(64, inner.varint()))
      else inner.skip(field & 7)
    }
    r.at = end
  }
  return Math.max(0, rejected)
}

import { TimerNode, type TimerOwner, type Timers } from '../../../base/timer.ts'
import type { WorkerServices } from '../../../config/services.ts'
import { WireWriter } from '../../../config/wire-writer.ts'
import type { FormatContext } from '../../format-context.ts'
import type { OpenTelemetryConfig } from './config.ts'
import { Export, ExportOutcomes } from './export.ts'
import { LogRecordEncoder } from './log-record.ts'
import { encodeResource } from './resource.ts'
import { createTransport, type LogTransport } from './transport.ts'

/** ExportLogsServiceRequest.resource_logs, ResourceLogs.resource and .scope_logs, ScopeLogs.log_records. */
const RESOURCE_LOGS = 1
const RESOURCE = 1
const SCOPE_LOGS = 2
const LOG_RECORDS = 2
/** More than their tags and lengths take. */
const PREFIXES = 32

/** The exporter for that configuration on this thread: loggers with the same one share buffer, client and stats, as in Envoy. */
export function otlpExporter(config: OpenTelemetryConfig, services: WorkerServices): OtlpExporter {
  const known = exporters.get(config.identity)?.deref()
  if (known !== undefined) return known
  for (const [identity, exporter] of exporters) if (exporter.deref() === undefined) exporters.delete(identity)
  const exporter = new OtlpExporter(config, services)
  exporters.set(config.identity, new WeakRef(exporter))
  return exporter
}

/** Held by their loggers, and by the timer while there is something to send. */
const exporters = new Map<string, WeakRef<OtlpExporter>>()

/**
 * Collects log records and sends them when the interval is over or the buffer is full (GrpcAccessLoggerImpl and HttpAccessLoggerImpl of
 * open_telemetry). A batch that cannot be sent is dropped and counted; how many are under way at most is said by the circuit breakers
 * of the cluster. Traffic never waits.
 */
export class OtlpExporter implements TimerOwner {
  readonly #encoder: LogRecordEncoder
  readonly #transport: LogTransport
  readonly #timers: Timers
  readonly #timer: TimerNode
  readonly #interval: number
  readonly #limit: number
  readonly #outcomes: ExportOutcomes
  readonly #resource: Uint8Array
  /** Fields log_records of a ScopeLogs. */
  readonly #records = new WireWriter()
  #count = 0
  /** Bytes of the records alone, which is what buffer_size_bytes is compared with. */
  #size = 0

  constructor(config: OpenTelemetryConfig, services: WorkerServices) {
    this.#encoder = new LogRecordEncoder(config)
    this.#transport = createTransport(config.transport, services)
    this.#timers = services.timers
    this.#timer = new TimerNode(this, 0)
    this.#interval = config.flushInterval
    this.#limit = config.bufferSize
    this.#outcomes = new ExportOutcomes(config, services)
    this.#resource = encodeResource(config, services.node)
  }

  log(context: FormatContext): void {
    const w = this.#records
    w.tag(LOG_RECORDS, 2)
    const mark = w.open()
    this.#encoder.write(w, context)
    this.#size += w.close(mark)
    if (this.#count++ === 0) this.#timers.arm(this.#timer, this.#interval)
    if (this.#size >= this.#limit) this.onTimer()
  }

  onTimer(): void {
    this.#timers.cancel(this.#timer)
    const batch = new Export(this.#count, this.#outcomes)
    const message = this.#message()
    this.#records.clear()
    this.#count = 0
    this.#size = 0
    this.#transport.send(message, batch)
  }

  #message(): Uint8Array {
    const w = new WireWriter(this.#resource.length + this.#records.length + PREFIXES)
    w.tag(RESOURCE_LOGS, 2)
    const mark = w.open()
    w.tag(RESOURCE, 2)
    w.bytes(this.#resource)
    w.tag(SCOPE_LOGS, 2)
    w.bytes(this.#records.view())
    w.close(mark)
    return w.take()
  }
}

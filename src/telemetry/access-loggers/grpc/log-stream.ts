import { TimerNode, type TimerOwner, type Timers } from '../../../base/timer.ts'
import type { GrpcClient, GrpcStream, GrpcStreamUser, WorkerServices } from '../../../config/services.ts'
import { WireWriter } from '../../../config/wire-writer.ts'
import type { Counter } from '../../../stats/stats.ts'
import type { AlsConfig } from './als-config.ts'
import { encodeNode } from './node.ts'

const METHOD = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs'
/** StreamAccessLogsMessage.identifier, .http_logs and .tcp_logs, and log_entry of the last two. */
const IDENTIFIER = 1
const LOGS = { http: 2, tcp: 3 } as const
const LOG_ENTRY = 1

/** The stream of that kind and configuration on this thread: loggers with the same ones share it, as in Envoy. */
export function logStream(kind: 'http' | 'tcp', config: AlsConfig, services: WorkerServices): LogStream {
  const key = `${kind} ${config.identity}`
  const known = streams.get(key)?.deref()
  if (known !== undefined) return known
  for (const [other, stream] of streams) if (stream.deref() === undefined) streams.delete(other)
  const stream = new LogStream(kind, config, services)
  streams.set(key, new WeakRef(stream))
  return stream
}

const streams = new Map<string, WeakRef<LogStream>>()

/**
 * Collects entries and sends them over one stream, which is opened anew when it ends (Common::GrpcAccessLogger with a streaming client).
 * While nothing can be sent, entries stay in the buffer; when it is full, they are dropped and counted. Traffic never waits.
 */
export class LogStream implements GrpcStreamUser, TimerOwner {
  readonly #kind: 'http' | 'tcp'
  readonly #config: AlsConfig
  readonly #services: WorkerServices
  readonly #client: GrpcClient
  readonly #timers: Timers
  readonly #timer: TimerNode
  readonly #stats: LogStats
  /** Fields log_entry. */
  readonly #entries = new WireWriter()
  /** Where the entry that is being written began. */
  #mark = 0
  #count = 0
  /** Bytes of the entries alone, which is what buffer_size_bytes is compared with. */
  #size = 0
  #stream: GrpcStream | null = null
  #ended = false

  constructor(kind: 'http' | 'tcp', config: AlsConfig, services: WorkerServices) {
    this.#kind = kind
    this.#config = config
    this.#services = services
    this.#client = services.callOuts.grpc(config.service)
    this.#timers = services.timers
    this.#timer = new TimerNode(this, 0)
    this.#stats = new LogStats(services)
  }

  /** A writer for one entry, to be handed back by `end`; null: there is no room, and the entry is counted as dropped. */
  begin(): WireWriter | null {
    const limit = this.#config.bufferSize
    if (limit > 0 && this.#size >= limit) {
      this.#flush()
      if (this.#size >= limit) {
        this.#stats.dropped.inc()
        return null
      }
    }
    // Envoy counts what its loggers for connections write only when it is flushed.
    if (this.#kind === 'http') this.#stats.written.inc()
    const w = this.#entries
    w.tag(LOG_ENTRY, 2)
    this.#mark = w.open()
    return w
  }

  end(): void {
    this.#size += this.#entries.close(this.#mark)
    if (this.#count++ === 0) this.#timers.arm(this.#timer, this.#config.flushInterval)
    if (this.#size >= this.#config.bufferSize) this.#flush()
  }

  onTimer(): void {
    this.#flush()
  }

  /** The service has nothing to say. */
  onMessage(): void {}

  onClosed(): void {
    this.#ended = true
    this.#stream = null
  }

  #flush(): void {
    if (this.#count === 0) return
    const isNew = this.#stream === null
    const stream = this.#stream ?? this.#open()
    if (stream === null || stream.blocked) {
      this.#stats.flushFailed.add(this.#count)
      this.#timers.arm(this.#timer, this.#config.flushInterval)
      return
    }
    this.#timers.cancel(this.#timer)
    this.#stats.flushed.add(this.#count)
    const message = this.#message(isNew)
    this.#entries.clear()
    this.#count = 0
    this.#size = 0
    stream.send(message)
  }

  #open(): GrpcStream | null {
    this.#ended = false
    const stream = this.#client.open(METHOD, this, null)
    // It may be over already: no cluster, no host.
    this.#stream = this.#ended ? null : stream
    return this.#stream
  }

  #message(first: boolean): Uint8Array {
    const w = new WireWriter(this.#entries.length + 16)
    if (first) {
      w.messageField(IDENTIFIER, () => {
        w.bytesField(1, encodeNode(this.#services.node))
        w.stringField(2, this.#config.logName)
      })
    }
    w.bytesField(LOGS[this.#kind], this.#entries.view())
    return w.take()
  }
}

/** One set for all loggers of the process, whatever they are called. */
class LogStats {
  readonly written: Counter
  readonly dropped: Counter
  readonly flushed: Counter
  readonly flushFailed: Counter

  constructor(services: WorkerServices) {
    const scope = services.stats.scope(ALS_STATS_PREFIX)
    this.written = scope.counter('logs_written')
    this.dropped = scope.counter('logs_dropped')
    this.flushed = scope.counter('grpc_entries_flushed')
    this.flushFailed = scope.counter('grpc_entries_flush_failed')
  }
}

export const ALS_STATS_PREFIX = 'access_logs.grpc_access_log.'

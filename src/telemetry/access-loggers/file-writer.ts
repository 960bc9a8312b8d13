import { close, closeSync, openSync, write, writeSync } from 'node:fs'
import type { Log } from '../../base/log.ts'
import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import type { WorkerServices } from '../../config/services.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import type { FormatContext } from '../format-context.ts'
import type { TextFormatter } from '../formatter.ts'

/** Envoy's MIN_FLUSH_SIZE: a buffer of this size is written at once. */
const FLUSH_BYTES = 64 * 1024
/** Room for the line that fills it. */
const BLOCK_BYTES = FLUSH_BYTES + 16 * 1024
/** A disk or pipe that takes nothing must not eat the memory: beyond this, lines are dropped and counted. */
const MAX_BUFFERED = 8 * 1024 * 1024

type WriterServices = Pick<WorkerServices, 'timers' | 'stats' | 'fileFlushInterval' | 'log'>

/** The writer of a path in this worker: loggers with the same path share it. */
export function fileWriter(path: string, services: WriterServices): FileWriter {
  let writer = writers.get(path)
  if (writer === undefined) {
    writer = new FileWriter(path, services)
    writers.set(path, writer)
  }
  return writer
}

/** Everything buffered is written before it returns: shutdown. */
export function flushAccessLogs(): void {
  for (const writer of writers.values()) writer.flushNow()
}

/** /reopen_logs and SIGUSR1: log rotation has moved the files. */
export function reopenAccessLogs(): void {
  for (const writer of writers.values()) writer.reopen()
}

const writers = new Map<string, FileWriter>()

/** `/dev/stdout` and `/dev/stderr` are the process's own descriptors: opening them again fails when they are sockets. */
const DESCRIPTORS: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 }

/**
 * Appends whole lines. Each worker has its own descriptor with O_APPEND and writes its buffer in one call, so lines of workers do
 * not mix. One write at a time, on the thread pool: a slow disk never holds traffic. Failures are counted, said once, and tried
 * again with the next flush.
 */
export class FileWriter implements TimerOwner {
  readonly #path: string
  readonly #timers: Timers
  readonly #interval: number
  readonly #log: Log
  readonly #stats: WriterStats
  readonly #timer: TimerNode
  #fd = -1
  /** Lines that wait: `#used` bytes. A string that grows by a line each time would be copied piece by piece at the end. */
  #block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #used = 0
  /** The write under way; null when none. */
  #pending: Uint8Array | null = null
  #pendingFrom = 0
  /** The block of the last write, to be filled again. */
  #spare: Buffer | null = null
  #reopenWanted = false
  #complained = false

  constructor(path: string, services: WriterServices) {
    this.#path = path
    this.#timers = services.timers
    this.#interval = services.fileFlushInterval
    this.#log = services.log('file')
    this.#stats = new WriterStats(services.stats.scope('filesystem.'))
    this.#timer = new TimerNode(this, 0)
    this.#open()
  }

  /** `line` is latin1, with its line break. */
  append(line: string): void {
    if (line === '') return
    const { length } = line
    const used = this.#used
    if (used > MAX_BUFFERED) {
      this.#stats.failed.inc()
      return
    }
    if (used + length > this.#block.length) this.#grow(used + length)
    this.#block.latin1Write(line, used, length)
    this.#appended(used, used + length)
  }

  /** The line of `context`, made where it is written from. */
  appendFormatted(format: TextFormatter, context: FormatContext): void {
    const used = this.#used
    const block = this.#block
    const end = used > MAX_BUFFERED ? Number.MAX_SAFE_INTEGER : format.write(context, block, used)
    if (end > block.length) {
      this.append(format.format(context))
      return
    }
    if (end > used) this.#appended(used, end)
  }

  onTimer(): void {
    this.#stats.flushedByTimer.inc()
    this.flush()
  }

  flush(): void {
    if (this.#pending !== null || this.#used === 0) return
    this.#timers.cancel(this.#timer)
    if (!this.#ready()) {
      this.#failed()
      this.#timers.arm(this.#timer, this.#interval)
      return
    }
    this.#pending = this.#block.subarray(0, this.#used)
    this.#pendingFrom = 0
    this.#block = this.#spare ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    this.#spare = null
    this.#used = 0
    this.#write()
  }

  /** Synchronous, for shutdown: what a running write has taken is left to it. */
  flushNow(): void {
    this.#timers.cancel(this.#timer)
    if (this.#used === 0 || !this.#ready()) return
    try {
      let rest: Uint8Array = this.#block.subarray(0, this.#used)
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest))
      this.#used = 0
      this.#stats.completed.inc()
    } catch {
      this.#failed()
    }
  }

  reopen(): void {
    this.#reopenWanted = true
    if (this.#used === 0) this.#timers.arm(this.#timer, 0)
    else this.flush()
    if (this.#pending === null) this.#ready()
  }

  #appended(start: number, end: number): void {
    if (start === 0) this.#timers.arm(this.#timer, this.#interval)
    this.#used = end
    this.#stats.buffered.inc()
    if (end >= FLUSH_BYTES) this.flush()
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#block.length * 2))
    this.#block.copy(grown, 0, 0, this.#used)
    this.#block = grown
  }

  /** Keeps the memory of what was written, unless a slow disk had made it big. */
  #release(): void {
    const { buffer } = this.#pending!
    this.#pending = null
    if (buffer.byteLength === BLOCK_BYTES) this.#spare = Buffer.from(buffer)
  }

  #write(): void {
    const data = this.#pending!
    write(this.#fd, data, this.#pendingFrom, data.length - this.#pendingFrom, null, this.#written)
  }

  readonly #written = (error: NodeJS.ErrnoException | null, count: number): void => {
    if (error !== null) {
      this.#failed(error.message)
      this.#release()
    } else {
      this.#pendingFrom += count
      if (this.#pendingFrom < this.#pending!.length) {
        this.#write()
        return
      }
      this.#release()
      this.#complained = false
      this.#stats.completed.inc()
    }
    if (this.#reopenWanted) this.#ready()
    if (this.#used >= FLUSH_BYTES) this.flush()
    // The interval ended while this write ran: what came meanwhile would wait for ever.
    else if (this.#used > 0 && this.#timer.deadline === 0) this.#timers.arm(this.#timer, this.#interval)
  }

  /** Opens (again) when needed; false when that fails. */
  #ready(): boolean {
    if (this.#reopenWanted && this.#pending === null) {
      this.#reopenWanted = false
      const old = this.#fd
      if (!(this.#path in DESCRIPTORS) && this.#open() && old >= 0) close(old, () => {})
    }
    return this.#fd >= 0 || this.#open()
  }

  /** Keeps the old descriptor when the path cannot be opened: lines go on to the renamed file. */
  #open(): boolean {
    try {
      this.#fd = DESCRIPTORS[this.#path] ?? openSync(this.#path, 'a', 0o644)
      return true
    } catch (error) {
      this.#stats.reopenFailed.inc()
      this.#complain((error as Error).message)
      return false
    }
  }

  #failed(why = ''): void {
    this.#stats.failed.inc()
    if (why !== '') this.#complain(why)
  }

  #complain(why: string): void {
    if (this.#complained) return
    this.#complained = true
    this.#log.error(`access log '${this.#path}': ${why}; traffic goes on, lines may be lost`)
  }
}

/** Checks on main that a path can be written, as Envoy does when it loads a configuration; null or the system's words. */
export function pathError(path: string): string | null {
  if (path in DESCRIPTORS) return null
  try {
    closeSync(openSync(path, 'a', 0o644))
    return null
  } catch (error) {
    return SYSTEM_WORDS[(error as NodeJS.ErrnoException).code ?? ''] ?? (error as Error).message
  }
}

const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  EROFS: 'Read-only file system',
  ENOSPC: 'No space left on device',
  EMFILE: 'Too many open files',
}

class WriterStats {
  readonly buffered: Counter
  readonly completed: Counter
  readonly failed: Counter
  readonly flushedByTimer: Counter
  readonly reopenFailed: Counter

  constructor(scope: StatsScope) {
    this.buffered = scope.counter('write_buffered')
    this.completed = scope.counter('write_completed')
    this.failed = scope.counter('write_failed')
    this.flushedByTimer = scope.counter('flushed_by_timer')
    this.reopenFailed = scope.counter('reopen_failed')
  }
}

import type { ExtensionFactory } from '../../config/registry.ts'

/** Compresses one body; used once. Nothing waits: what a call returns is all there is to send for what was given so far. */
export interface BodyCompressor {
  /** The bytes for `chunk`, flushed so that the receiver can read all of it; with `last` the end of the encoding too. */
  compress(chunk: Uint8Array, last: boolean): Uint8Array
  /** The body ends early: frees what the library holds. */
  close(): void
}

/** What an extension of the category envoy.compression.compressor makes on a worker. */
export interface Compression {
  /** As in content-encoding and accept-encoding. */
  readonly contentEncoding: string
  /** In the names of stats, without dots. */
  readonly statPrefix: string
  newBody(): BodyCompressor
}

export interface CompressionFactory<P extends object, C> extends ExtensionFactory<P, C, never, Compression> {
  create(config: C): Compression
}

/** One of minizlib's streams, which work without callbacks and threads. */
interface SyncStream {
  on(event: 'data', listener: (bytes: Buffer) => void): unknown
  write(chunk: Uint8Array): unknown
  flush(flag: number): unknown
  end(): unknown
  close(): unknown
}

/** A body through a stream of minizlib. `flush`: the library's constant for "everything so far, and go on". */
export class StreamCompressor implements BodyCompressor {
  readonly #stream: SyncStream
  readonly #flush: number
  #out: Buffer[] = []
  #over = false

  constructor(stream: SyncStream, flush: number) {
    this.#stream = stream
    this.#flush = flush
    stream.on('data', bytes => this.#out.push(bytes))
  }

  compress(chunk: Uint8Array, last: boolean): Uint8Array {
    if (chunk.length > 0) this.#stream.write(chunk)
    if (last) {
      this.#stream.end()
      this.close()
    } else this.#stream.flush(this.#flush)
    const out = this.#out
    this.#out = []
    return out.length === 1 ? out[0]! : Buffer.concat(out)
  }

  close(): void {
    if (this.#over) return
    this.#over = true
    this.#stream.close()
  }
}

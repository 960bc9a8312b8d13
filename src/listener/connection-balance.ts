/** A worker that does not accept on this listener. */
const ABSENT = -1

/**
 * exact_balance of a listener (Envoy: ExactConnectionBalancerImpl): how many of its connections each worker has, in memory that all
 * share, so that an accepted connection goes to whoever has the fewest.
 */
export class ConnectionBalance {
  readonly #counts: Int32Array
  readonly #worker: number

  /** `shared`: from `balanceMemory`. */
  constructor(shared: SharedArrayBuffer, worker: number) {
    this.#counts = new Int32Array(shared)
    this.#worker = worker
  }

  /** This worker takes connections from now on. */
  join(): void {
    Atomics.store(this.#counts, this.#worker, 0)
  }

  /** The worker with the fewest connections, the first of several; it has one more now. */
  pick(): number {
    const counts = this.#counts
    for (;;) {
      let fewest = Number.MAX_SAFE_INTEGER
      let chosen = this.#worker
      for (let i = 0; i < counts.length; i++) {
        const count = Atomics.load(counts, i)
        if (count === ABSENT || count >= fewest) continue
        fewest = count
        chosen = i
      }
      if (fewest === Number.MAX_SAFE_INTEGER) return this.#worker
      // Two workers that saw the same counts: one of them looks again.
      if (Atomics.compareExchange(counts, chosen, fewest, fewest + 1) === fewest) return chosen
    }
  }

  /** The connection picked for `worker` stays here after all. */
  keep(worker: number): void {
    lower(this.#counts, worker)
    this.take()
  }

  take(): void {
    Atomics.add(this.#counts, this.#worker, 1)
  }

  give(): void {
    lower(this.#counts, this.#worker)
  }
}

/** Nobody has joined yet. */
export function balanceMemory(workers: number): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(workers * Int32Array.BYTES_PER_ELEMENT)
  new Int32Array(shared).fill(ABSENT)
  return shared
}

/** Main has seen that a worker died, with all its connections. */
export function leaveBalance(shared: SharedArrayBuffer, worker: number): void {
  Atomics.store(new Int32Array(shared), worker, ABSENT)
}

/** A worker that died meanwhile stays absent. */
function lower(counts: Int32Array, worker: number): void {
  let seen = Atomics.load(counts, worker)
  while (seen > 0) {
    const before = Atomics.compareExchange(counts, worker, seen, seen - 1)
    if (before === seen) return
    seen = before
  }
}

/**
 * Token buckets that all threads of the process share. A bucket is one number: when it will be full again. A full bucket is
 * therefore no state at all, and its slot may go to another one: nobody has to make, retire or count them.
 */
const SLOTS = 4096
const PROBES = 32
/** After the seed: keys, then times. Times are at an offset that is a multiple of 8. */
const KEYS = 2
const TIMES = KEYS + SLOTS

/** What holds a bucket's tokens. */
export interface TokenBucket {
  readonly max: number
  /** Tokens per nanosecond. */
  readonly rate: number
  /** Takes `n` tokens, or none: false. */
  consume(n: number): boolean
  /** Tokens there are now, with a fraction. */
  remaining(): number
  /** Full, as when it was new. */
  refill(): void
}

/** Size of a bucket as configured (envoy.type.v3.TokenBucket). */
export interface TokenBucketConfig {
  readonly max: number
  readonly perFill: number
  /** Milliseconds. */
  readonly interval: number
}

/** What one process shares; `seed` keeps clients from choosing names that meet in one slot. */
export function tokenBucketMemory(seed: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(TIMES * 4 + SLOTS * 8)
  new Int32Array(memory)[0] = seed
  return memory
}

/**
 * The buckets of the process by number. Numbers come from `nextBucketNumber` of main, and so are the same on every thread;
 * `named` makes more of one number's.
 */
export class TokenBuckets {
  readonly #keys: Int32Array
  readonly #times: BigInt64Array
  readonly #now: () => number
  readonly #seed: number

  /** `now`: nanoseconds of a clock that all threads read alike. */
  constructor(memory: SharedArrayBuffer, now: () => number = monotonic) {
    const cells = new Int32Array(memory, 0, TIMES)
    this.#keys = cells.subarray(KEYS)
    this.#times = new BigInt64Array(memory, TIMES * 4, SLOTS)
    this.#now = now
    this.#seed = cells[0]!
  }

  bucket(number: number, config: TokenBucketConfig): TokenBucket {
    return new SharedTokenBucket(this.#keys, this.#times, this.#now, number, config)
  }

  /** The bucket for `name` among those of `number`. Two of a thousand names may share one with a chance of 1 to 2000. */
  named(number: number, name: string, config: TokenBucketConfig): TokenBucket {
    return this.bucket(nameHash(this.#seed ^ Math.imul(number, 0x9e3779b1), name) | NAMED, config)
  }

  /** A bucket of this thread alone. */
  own(config: TokenBucketConfig): TokenBucket {
    return new OwnTokenBucket(this.#now, config)
  }
}

/** Set in the keys of named buckets only. */
const NAMED = 0x40000000

let numbers = 0

/** A number for a bucket that a configuration brings: each time it is read, the bucket is a new one, as in Envoy. Main only. */
export function nextBucketNumber(): number {
  numbers = (numbers + 1) % NAMED
  return numbers === 0 ? ++numbers : numbers
}

function monotonic(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e9 + nanoseconds
}

function rateOf({ perFill, interval }: TokenBucketConfig): number {
  return perFill / (interval * 1e6)
}

/** Source/common/common/token_bucket_impl.cc AtomicTokenBucketImpl, with the time the bucket is full instead of the time it was empty. */
class SharedTokenBucket implements TokenBucket {
  readonly max: number
  readonly rate: number
  readonly #keys: Int32Array
  readonly #times: BigInt64Array
  readonly #now: () => number
  readonly #key: number
  readonly #home: number
  /** Where it was last. */
  #slot: number
  /** Used while no slot is to be had: then the limit holds for this thread. */
  #ownFull = 0

  constructor(keys: Int32Array, times: BigInt64Array, now: () => number, key: number, config: TokenBucketConfig) {
    this.max = config.max
    this.rate = rateOf(config)
    this.#keys = keys
    this.#times = times
    this.#now = now
    this.#key = key
    this.#home = Math.imul(key, 0x9e3779b1) >>> 20
    this.#slot = this.#home
  }

  consume(n: number): boolean {
    for (;;) {
      const now = this.#now()
      const slot = this.#find(now)
      if (slot < 0) {
        const full = fullAfter(this, this.#ownFull, now, n)
        if (full < 0) return false
        this.#ownFull = full
        return true
      }
      const before = Atomics.load(this.#times, slot)
      const full = fullAfter(this, Number(before), now, n)
      if (full < 0) return false
      if (Atomics.compareExchange(this.#times, slot, before, BigInt(full)) === before) return true
    }
  }

  remaining(): number {
    const now = this.#now()
    const slot = this.#known()
    return tokensAt(this, slot < 0 ? this.#ownFull : Number(Atomics.load(this.#times, slot)), now)
  }

  refill(): void {
    const slot = this.#known()
    if (slot >= 0) Atomics.store(this.#times, slot, 0n)
    this.#ownFull = 0
  }

  /** The slot of this key; -1: it has none, so it is full. */
  #known(): number {
    if (Atomics.load(this.#keys, this.#slot) === this.#key) return this.#slot
    for (let i = 0; i < PROBES; i++) {
      const slot = (this.#home + i) % SLOTS
      if (Atomics.load(this.#keys, slot) !== this.#key) continue
      this.#slot = slot
      return slot
    }
    return -1
  }

  /**
   * The slot of this key, taken from a full bucket when it has none; -1: there is no such. A thread that is about to take a
   * token of that other bucket, which is full, may take one of this: too few to matter.
   */
  #find(now: number): number {
    const known = this.#known()
    if (known >= 0) return known
    for (let i = 0; i < PROBES; i++) {
      const slot = (this.#home + i) % SLOTS
      const key = Atomics.load(this.#keys, slot)
      if (key !== 0 && Number(Atomics.load(this.#times, slot)) > now) continue
      const before = Atomics.compareExchange(this.#keys, slot, key, this.#key)
      if (before !== key && before !== this.#key) continue
      this.#slot = slot
      return slot
    }
    return -1
  }
}

class OwnTokenBucket implements TokenBucket {
  readonly max: number
  readonly rate: number
  readonly #now: () => number
  #full = 0

  constructor(now: () => number, config: TokenBucketConfig) {
    this.max = config.max
    this.rate = rateOf(config)
    this.#now = now
  }

  consume(n: number): boolean {
    const full = fullAfter(this, this.#full, this.#now(), n)
    if (full < 0) return false
    this.#full = full
    return true
  }

  remaining(): number {
    return tokensAt(this, this.#full, this.#now())
  }

  refill(): void {
    this.#full = 0
  }
}

function tokensAt(bucket: TokenBucket, full: number, now: number): number {
  return full <= now ? bucket.max : Math.max(0, bucket.max - (full - now) * bucket.rate)
}

/** When the bucket will be full again after `n` are taken; -1: there are not so many. */
function fullAfter(bucket: TokenBucket, full: number, now: number, n: number): number {
  const total = tokensAt(bucket, full, now)
  return total < n ? -1 : Math.floor(now + (bucket.max - total + n) / bucket.rate)
}

/** Milliseconds until there is a whole token (AtomicTokenBucketImpl::nextTokenAvailable). */
export function nextToken(bucket: TokenBucket): number {
  const remaining = bucket.remaining()
  return remaining >= 1 ? 0 : Math.ceil((1 - remaining) / bucket.rate / 1e6)
}

/** Murmur3's finish over FNV's steps: seeded, as the names come from clients. */
function nameHash(seed: number, name: string): number {
  let h = seed ^ 0x811c9dc5
  for (let i = 0; i < name.length; i++) {
    h = Math.imul(h ^ name.charCodeAt(i), 0x5bd1e995)
    h ^= h >>> 15
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 2
}

import type { TokenBucket, TokenBucketConfig, TokenBuckets } from '../../../base/token-bucket.ts'
import type { RateLimitDescriptor } from '../../../routing/rate-limit.ts'
import type { LimitDescriptorConfig, LimiterConfig } from './config.ts'

export const Limit = {
  Allowed: 0,
  /** Over the limit of a descriptor that is only looked at. */
  Shadowed: 1,
  Limited: 2,
} as const
export type Limit = (typeof Limit)[keyof typeof Limit]

interface Match {
  readonly bucket: TokenBucket
  readonly shadow: boolean
  readonly descriptor: RateLimitDescriptor
}

/** The buckets of one configuration (extensions/filters/common/local_ratelimit LocalRateLimiterImpl). */
export class Limiter {
  /** Of the last check: the bucket that decided; null = none. */
  bucket: TokenBucket | null = null
  /** Of the last check: x_ratelimit_option of what decided. */
  headers: boolean | undefined
  readonly #default: TokenBucket | null
  readonly #alwaysDefault: boolean
  readonly #exact = new Map<string, Descriptor>()
  readonly #dynamic: readonly Descriptor[]

  /** `own`: for one connection, and so on this thread alone. */
  constructor(config: LimiterConfig, buckets: TokenBuckets, own: boolean) {
    this.#default =
      config.bucket === null ? null : own ? buckets.own(config.bucket) : buckets.bucket(config.number, config.bucket)
    this.#alwaysDefault = config.alwaysDefault
    const dynamic: Descriptor[] = []
    for (const descriptor of config.descriptors) {
      const made = new Descriptor(descriptor, buckets, own, config.maxDynamic)
      if (descriptor.any) dynamic.push(made)
      else this.#exact.set(keyOf(descriptor.entries), made)
    }
    this.#dynamic = dynamic
  }

  /** Takes what the request costs, `members` times; `bucket` and `headers` say then what is left. */
  check(descriptors: readonly RateLimitDescriptor[], members: number): Limit {
    const matches = descriptors.length === 0 ? NONE : this.#matches(descriptors)
    let shadowed = false
    for (let i = 0; i < matches.length; i++) {
      const { bucket, shadow, descriptor } = matches[i]!
      const hits = descriptor.hits * members
      if (bucket.consume(descriptor.gives ? -hits : hits)) continue
      if (!shadow) return this.#result(bucket, descriptor.headers, Limit.Limited)
      shadowed = true
    }
    const first = matches[0]
    if (this.#default !== null && (first === undefined || this.#alwaysDefault) && !this.#default.consume(members)) {
      return this.#result(this.#default, undefined, Limit.Limited)
    }
    const bucket = first === undefined ? this.#default : first.bucket
    return this.#result(bucket, first?.descriptor.headers, shadowed ? Limit.Shadowed : Limit.Allowed)
  }

  #result(bucket: TokenBucket | null, headers: boolean | undefined, limit: Limit): Limit {
    // Of a bucket for no token there is nothing to tell.
    this.bucket = bucket !== null && bucket.max === 0 ? null : bucket
    this.headers = headers
    return limit
  }

  /** Slowest first: what it refuses costs the others nothing. */
  #matches(descriptors: readonly RateLimitDescriptor[]): readonly Match[] {
    const matches: Match[] = []
    for (const descriptor of descriptors) {
      const key = keyOf(descriptor.entries)
      const found = this.#exact.get(key) ?? this.#dynamic.find(dynamic => dynamic.matches(descriptor.entries))
      if (found !== undefined) matches.push({ bucket: found.bucketOf(key), shadow: found.shadow, descriptor })
    }
    if (matches.length > 1) matches.sort((a, b) => a.bucket.rate - b.bucket.rate)
    return matches
  }
}

const NONE: readonly Match[] = []

/** Entries are latin1, in which this character is not: clients choose values, and NUL can be one (`%00` in a query). */
function keyOf(entries: readonly string[]): string {
  return entries.join('\u0100')
}

/** A configured descriptor: one bucket, or one for each value that clients send. */
class Descriptor {
  readonly shadow: boolean
  readonly #entries: readonly string[]
  readonly #number: number
  readonly #config: TokenBucketConfig
  readonly #buckets: TokenBuckets
  readonly #own: boolean
  readonly #max: number
  readonly #bucket: TokenBucket | null
  /** By entries of a request, the least recently used first: its size is bounded, as clients choose the values. */
  readonly #dynamic = new Map<string, TokenBucket>()

  constructor(config: LimitDescriptorConfig, buckets: TokenBuckets, own: boolean, maxDynamic: number) {
    this.shadow = config.shadow
    this.#entries = config.entries
    this.#number = config.number
    this.#config = config.bucket
    this.#buckets = buckets
    this.#own = own
    this.#max = maxDynamic
    this.#bucket = config.any ? null : own ? buckets.own(config.bucket) : buckets.bucket(config.number, config.bucket)
  }

  /** '' stands for every value; keys have to be the same. */
  matches(entries: readonly string[]): boolean {
    if (entries.length !== this.#entries.length) return false
    for (let i = 0; i < entries.length; i++) {
      if (entries[i] !== this.#entries[i] && (i % 2 === 0 || this.#entries[i] !== '')) return false
    }
    return true
  }

  bucketOf(key: string): TokenBucket {
    if (this.#bucket !== null) return this.#bucket
    const known = this.#dynamic.get(key)
    const bucket =
      known ?? (this.#own ? this.#buckets.own(this.#config) : this.#buckets.named(this.#number, key, this.#config))
    if (known !== undefined) this.#dynamic.delete(key)
    this.#dynamic.set(key, bucket)
    if (this.#dynamic.size > this.#max) {
      const [oldest, forgotten] = this.#dynamic.entries().next().value!
      this.#dynamic.delete(oldest)
      // As Envoy: who comes back after that finds a full bucket.
      forgotten.refill()
    }
    return bucket
  }
}

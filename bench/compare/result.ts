/** What `remora compare` found; what `--json` prints. Plain data. */
export interface Comparison {
  readonly version: 1
  /** ISO 8601, UTC. */
  readonly startedAt: string
  readonly commandLine: string
  readonly configuration: string
  readonly trace: string
  readonly sides: { readonly envoy: SideFacts; readonly remora: SideFacts }
  /** Whether every push, every request and every stat name agreed. */
  readonly equal: boolean
  /** Empty for configurations that ask no control plane. */
  readonly pushes: readonly PushComparison[]
  readonly requests: readonly RequestComparison[]
  readonly stats: StatComparison
  /** How the configuration was changed to run both at once, and what of the trace was left out. */
  readonly notes: readonly string[]
  /** What was made equal before comparing, in words. Everything else is compared byte for byte. */
  readonly normalisation: readonly string[]
}

/** One push, which has everything that the control plane has at that time. */
export interface PushComparison {
  /** From 1. */
  readonly number: number
  /** What it was read from. */
  readonly from: string
  readonly envoy: readonly TypeAnswer[]
  readonly remora: readonly TypeAnswer[]
  /** `what` is the type of the resources. */
  readonly differences: readonly Difference[]
}

/** What a proxy said to the resources of one type. */
export interface TypeAnswer {
  /** `Cluster`, `Listener` … */
  readonly type: string
  /** Sent, sorted. */
  readonly names: readonly string[]
  /** Asked for and not there, sorted. */
  readonly absent: readonly string[]
  /** Why it was rejected, without repetitions; empty for an ACK. */
  readonly rejections: readonly string[]
  /** Every stream answered what it was sent last. */
  readonly answered: boolean
}

export interface SideFacts {
  readonly command: string
  readonly version: string
  /** As rewritten. */
  readonly configuration: string
}

export interface RequestComparison {
  /** Place in the trace, from 1. */
  readonly number: number
  readonly method: string
  readonly url: string
  readonly envoy: Exchange
  readonly remora: Exchange
  readonly differences: readonly Difference[]
}

export type Aspect = 'push' | 'status' | 'headers' | 'body' | 'connection' | 'flags' | 'details' | 'attempts' | 'log'

export interface Difference {
  readonly aspect: Aspect
  /** Which header, which attempt; '' where there is one only. */
  readonly what: string
  readonly envoy: string
  readonly remora: string
}

/** One request on one proxy, normalised. */
export interface Exchange {
  /** `HTTP/1.1 200 OK`; what became of the connection where no answer came. */
  readonly status: string
  /** `name: value`, in the order received. */
  readonly headers: readonly string[]
  readonly body: string
  readonly trailers: readonly string[]
  /** `kept`, `closed`, `reset`, `timeout` …; and the codes of HTTP/2 that ended a stream or the connection. */
  readonly connection: string
  /** Fields of the access log by operator name; empty when no line came. */
  readonly log: Readonly<Record<string, string>>
  /** What the upstreams got for it, in order. */
  readonly attempts: readonly Attempt[]
}

export interface Attempt {
  readonly cluster: string
  readonly protocol: 'HTTP/1.1' | 'HTTP/2'
  /** Request line, or pseudo headers, then the fields as received. */
  readonly head: readonly string[]
  readonly body: string
  readonly end: string
}

export interface StatComparison {
  readonly onlyEnvoy: readonly string[]
  readonly onlyRemora: readonly string[]
  /** Counters that grew by different amounts. */
  readonly counts: readonly { readonly name: string; readonly envoy: number; readonly remora: number }[]
  /** Names that both have. */
  readonly common: number
}

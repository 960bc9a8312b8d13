/**
 * The result of a bench run: what the harness writes as JSON and what the HTML report, the CSV and `remora compare` read.
 * Plain data. All sizes are bytes, all times are seconds unless the name says otherwise; `null` means "could not be had here",
 * never zero.
 */
export interface BenchReport {
  readonly version: 1
  /** ISO 8601, UTC. */
  readonly startedAt: string
  readonly durationSeconds: number
  readonly profile: 'smoke' | 'standard' | 'full' | 'custom'
  readonly machine: Machine
  /** Program → its own version line: node, envoy, remora, nginx, haproxy, wrk, h2load, openssl, … */
  readonly versions: Readonly<Record<string, string>>
  readonly commandLine: string
  /** In the order they are shown; only peers that took part. */
  readonly peers: readonly Peer[]
  /** What could not take part, and how to get it. */
  readonly missing: readonly { readonly program: string; readonly how: string }[]
  readonly cases: readonly CaseResult[]
}

export interface Machine {
  readonly cpuModel: string
  readonly cores: number
  readonly kernel: string
  readonly memoryBytes: number
  /** Of TCP, by name: bbr paces, which costs more than cubic. */
  readonly congestionControl: string
  /** Netfilter follows the connections of this network namespace, which every packet pays for. */
  readonly tracksConnections: boolean
  /** CPU lists as `taskset -c` takes them; null = not pinned. `batch`: load and upstream, which share a core, under SCHED_BATCH. */
  readonly pinning: {
    readonly proxy: string | null
    readonly load: string | null
    readonly upstream: string | null
    readonly batch: boolean
  }
}

export type PeerId = 'envoy' | 'remora' | 'remora-other' | 'nginx' | 'haproxy' | 'http2-proxy' | 'node'

export interface Peer {
  readonly id: PeerId
  /** For people: "Envoy 1.40.0", "Remora 0.1.0". */
  readonly title: string
  readonly version: string
  /** As started; configuration file names are those of `configurations`. */
  readonly command: readonly string[]
  /** `CaseResult.configuration` → text of the configuration, as given to this peer. */
  readonly configurations: Readonly<Record<string, string>>
}

export type CaseGroup =
  | 'http1'
  | 'http2'
  | 'grpc'
  | 'tls'
  | 'handshake'
  | 'tcp'
  | 'bodies'
  | 'connections'
  | 'latency'
  | 'memory'
  | 'scale'
  | 'start'
  | 'workers'
  | 'user'

export interface CaseResult {
  /** Unique in a report; what `--only` takes: `http1-small`, `connections-2000`. */
  readonly id: string
  readonly title: string
  readonly group: CaseGroup
  /** Cases of one `series` differ in `axis.value` alone and make one line of a plot. */
  readonly series: string | null
  /** name: connections, clusters, headers, virtual hosts, body bytes, workers. */
  readonly axis: { readonly name: string; readonly value: number } | null
  /** Key of `Peer.configurations`. */
  readonly configuration: string
  /** The exact commands of the load generators, `{port}` where each peer has its own. */
  readonly load: readonly string[]
  readonly metric: Metric
  readonly roundSeconds: number
  readonly checks: readonly PeerChecks[]
  readonly rounds: readonly Round[]
  readonly summaries: readonly PeerSummary[]
  readonly ratios: readonly Ratio[]
  /** What the reader must know: peers left out and why, ceilings met, errors. */
  readonly notes: readonly string[]
  /** The goal of the project for this case, as a ratio remora ÷ envoy where the metric is higher-is-better, envoy ÷ remora otherwise; or an absolute bound. */
  readonly goal: Goal | null
}

export interface Metric {
  /** "requests per CPU-second", "bytes per connection", "seconds to ready". */
  readonly name: string
  /** "req/CPU-s", "B", "ms". */
  readonly unit: string
  readonly higherIsBetter: boolean
}

export interface Goal {
  readonly kind: 'ratio' | 'at-most'
  readonly value: number
  readonly text: string
}

export interface PeerChecks {
  readonly peer: PeerId
  readonly checks: readonly Check[]
}

/** A behaviour proved on the very process that was measured, with the configuration it was measured with. */
export interface Check {
  readonly name: string
  readonly passed: boolean
  /** What was seen. */
  readonly detail: string
}

/** One measurement of one peer. Peers are interleaved: all peers' round 0, then all peers' round 1. */
export interface Round {
  readonly peer: PeerId
  readonly index: number
  /** Figure of this round in `CaseResult.metric`. */
  readonly value: number
  /** Wall clock. */
  readonly seconds: number
  /** Operations finished: requests, exchanges, handshakes, connections. */
  readonly count: number
  readonly errors: number
  /** How the answers differ from those of the same requests asked alone, in words. Such a round makes no ratio. */
  readonly unlike?: string
  /** Payload moved, where the case counts it. */
  readonly bytes: number | null
  /** CPU of the proxy's whole process tree during the round. */
  readonly cpuSeconds: number | null
  /** Whole process tree, at the end of the round. */
  readonly memory: MemoryUse | null
  /** Ascending by percentile (0–100). */
  readonly latency: readonly LatencyPoint[] | null
  /** Further figures of the case by name, e.g. "requests per second". */
  readonly extra: Readonly<Record<string, number>>
  /** Share of the machine (0–1) that programs outside the bench took meanwhile. */
  readonly neighbours?: number | null
}

export interface MemoryUse {
  readonly rssBytes: number
  /** Proportional: shared pages divided by the number of processes that map them. */
  readonly pssBytes: number
  readonly anonBytes: number
}

export interface LatencyPoint {
  readonly percentile: number
  readonly microseconds: number
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface PeerSummary {
  readonly peer: PeerId
  /** In `CaseResult.metric`. */
  readonly value: Spread
  readonly perSecond: Spread | null
  readonly cpuMicrosecondsPerOperation: Spread | null
  /** Median of the rounds. */
  readonly memory: MemoryUse | null
  /** Median of the rounds per percentile. */
  readonly latency: readonly LatencyPoint[] | null
  /** Medians of `Round.extra`. */
  readonly extra: Readonly<Record<string, number>>
  readonly errors: number
}

/**
 * `of` compared with `to`, round by round, so that > 1 always means that `of` is better: of ÷ to where higher is better,
 * to ÷ of otherwise.
 */
export interface Ratio extends Spread {
  readonly of: PeerId
  readonly to: PeerId
  /** False: the spread hides the answer (or a check failed) and nobody may print the ratio as a figure. */
  readonly conclusive: boolean
  /** Why it is not conclusive. */
  readonly why: string | null
}

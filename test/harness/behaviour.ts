/**
 * The little language in which a request tells a scripted upstream what to do, in its `x-up` header:
 * alternatives separated by `|`, the n-th arrival takes the n-th one and the last repeats; an alternative is a list of
 * actions separated by `,`; an action is a word with an optional `:argument`. No header means `ok`.
 * Example: `status:503|delay:50,close|ok`.
 */
export interface Action {
  readonly word: string
  readonly argument: string
}

/** What an upstream received. Kept for HTTP/1 as head lines, for HTTP/2 as `name: value` lines in order. */
export interface UpstreamRecord {
  readonly upstream: string
  readonly protocol: 'http1' | 'h2' | 'tcp' | 'udp'
  readonly head: readonly string[]
  framing: string
  body: Buffer
  trailers: readonly string[]
  /** `complete`, `incomplete` (the peer went away or has not finished) or `reset N`. */
  end: string
}

/** Shared by the upstreams of one group: arrival counters and the record, both cleared before each scenario. */
export class UpstreamState {
  readonly records: UpstreamRecord[] = []
  readonly paths = new Map<string, string>()
  private readonly arrivals = new Map<string, number>()

  clear(): void {
    this.records.length = 0
    this.arrivals.clear()
  }

  /** The actions of this arrival. `fixed` is the upstream's own script, which wins over the header. */
  next(header: string | undefined): Action[] {
    const script = header ?? 'ok'
    const alternatives = script.split('|')
    const arrival = this.arrivals.get(script) ?? 0
    this.arrivals.set(script, arrival + 1)
    const chosen = alternatives[Math.min(arrival, alternatives.length - 1)] ?? 'ok'
    return chosen.split(',').map(action => {
      const [word = '', ...argument] = action.trim().split(':')
      return { word, argument: argument.join(':') }
    })
  }
}

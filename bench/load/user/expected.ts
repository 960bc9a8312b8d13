import { count } from '../output/figures.ts'

/** What a request was answered. */
export interface Said {
  /** 0 = no answer. */
  readonly status: number
  /** A gRPC status other than 0. */
  readonly grpcFailed: boolean
}

/** That the answers of a load are others than expected: how many, and in words (`412 of 60,000 answers were …`). */
export interface Surprise {
  readonly errors: number
  readonly text: string
}

/** What the requests of a trace are answered, each asked alone: under load, sent in turn, they must be answered alike. */
export class ExpectedAnswers {
  /** Who was asked all requests. */
  readonly asked = new Set<string>()
  /** By place in the trace: two requests of one URL may differ in their headers. */
  private readonly known: (Said | undefined)[]

  constructor(requests: number) {
    this.known = new Array<Said | undefined>(requests).fill(undefined)
  }

  /** What the first proxy that was asked said; this one's own answer if it is the first. */
  learn(place: number, said: Said): Said {
    const before = this.known[place]
    if (before !== undefined) return before
    this.known[place] = said
    return said
  }

  /** By statuses above 399, as wrk counts them (`Non-2xx or 3xx responses`). */
  surpriseByRefusals(refused: number, answers: number, inFlight: number): Surprise | null {
    const expected = this.per(({ status }) => status > 399)
    if (expected === null) return null
    const off = deviation(refused, answers, expected, this.known.length, inFlight)
    if (off === 0) return null
    return { errors: Math.abs(off), text: textOf('were refusals (status above 399)', refused, answers, off) }
  }

  /**
   * By each status. `failures`: answers with a status above 399 or a gRPC status other than 0; null where the load does not
   * look at the latter.
   */
  surpriseByStatus(
    statuses: Readonly<Record<string, number>>,
    failures: number | null,
    answers: number,
    inFlight: number,
  ): Surprise | null {
    const codes = new Set(Object.keys(statuses).map(Number))
    for (const said of this.known) if (said !== undefined) codes.add(said.status)
    const found: { readonly what: string; readonly seen: number; readonly off: number }[] = []
    const look = (what: string, seen: number, is: (said: Said) => boolean): void => {
      const expected = this.per(is)
      const off = expected === null ? 0 : deviation(seen, answers, expected, this.known.length, inFlight)
      if (off !== 0) found.push({ what, seen, off })
    }
    let refused = 0
    for (const code of codes) {
      const seen = statuses[code] ?? 0
      if (code > 399) refused += seen
      look(`had status ${code}`, seen, said => said.status === code)
    }
    if (failures !== null)
      look('had a gRPC status other than 0', failures - refused, said => said.grpcFailed && said.status <= 399)
    // What comes too often says more than what is missing therefore.
    const [worst] = found.sort((a, b) => b.off - a.off)
    if (worst === undefined) return null
    const more = found.reduce((sum, { off }) => sum + Math.max(off, 0), 0)
    const fewer = found.reduce((sum, { off }) => sum + Math.max(-off, 0), 0)
    return { errors: Math.max(more, fewer), text: textOf(worst.what, worst.seen, answers, worst.off) }
  }

  /** How many requests of the trace were answered so; null when one was not asked or not answered. */
  private per(is: (said: Said) => boolean): number | null {
    let sum = 0
    for (const said of this.known) {
      if (said === undefined || said.status === 0) return null
      if (is(said)) sum++
    }
    return sum
  }
}

/**
 * How many more (or, negative, fewer) of `answers` there are of one kind than requests sent in turn bring, of which `expected`
 * of `cycle` are answered so. 0 where the number comes about by where the load began and ended within a cycle, and by which
 * requests were `inFlight` (sent, and not among the answers).
 */
export function deviation(seen: number, answers: number, expected: number, cycle: number, inFlight: number): number {
  const cycles = Math.ceil((answers + inFlight) / cycle)
  const most = cycles * expected
  const least = answers - cycles * (cycle - expected)
  return seen > most || seen < least ? seen - Math.round((answers * expected) / cycle) : 0
}

function textOf(what: string, seen: number, answers: number, off: number): string {
  const why = off > 0 ? ' (overload, circuit breakers, a rate limit?)' : ''
  return (
    `${count(seen)} of ${count(answers)} answers ${what}, ${count(seen - off)} were expected: ` +
    `under load it does not answer as it does when asked alone${why}`
  )
}

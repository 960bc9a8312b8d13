export interface H2loadResult {
  readonly requests: number
  /** Failed, errored, timed out, or answered other than 2xx and 3xx. */
  readonly errors: number
  /** Payload of DATA frames. */
  readonly bytes: number
}

/** Reads what h2load of nghttp2 prints. Throws with its output when there is no result in it. */
export function parseH2load(output: string): H2loadResult {
  const requests = /^requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m.exec(output)
  const codes = /^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/m.exec(output)
  if (requests === null || codes === null) throw new Error(`h2load printed no result:\n${output}`)
  const traffic = /^traffic: .*? (\d+)\) data|^traffic: .*\((\d+)\) data/m.exec(output)
  const good = Number(codes[1]) + Number(codes[2])
  const bad = Number(requests[3]) + Number(requests[4]) + Number(requests[5])
  return {
    requests: good,
    // A request with status 5xx is among the failed ones already.
    errors: Math.max(bad, Number(codes[3]) + Number(codes[4])),
    bytes: Number(traffic?.[1] ?? traffic?.[2] ?? 0),
  }
}

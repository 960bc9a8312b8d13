import type { LatencyPoint } from '../result.ts'

export interface WrkResult {
  readonly requests: number
  readonly seconds: number
  readonly bytesRead: number
  /** Socket errors. */
  readonly errors: number
  /** Responses that are not 2xx or 3xx. */
  readonly refused: number
  readonly latency: readonly LatencyPoint[]
}

/** Reads what wrk 4 prints. Throws with its output when there is no result in it. */
export function parseWrk(output: string): WrkResult {
  const total = /^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h), ([\d.]+)(B|KB|MB|GB|TB) read/m.exec(output)
  if (total === null) throw new Error(`wrk printed no result:\n${output}`)
  const refused = Number(/^\s*Non-2xx or 3xx responses: (\d+)/m.exec(output)?.[1] ?? 0)
  const sockets = /^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/m.exec(output)
  let errors = 0
  // Time-outs of wrk (2 s) are slow answers, not lost ones: they are among the requests all the same.
  if (sockets !== null) errors = Number(sockets[1]) + Number(sockets[2]) + Number(sockets[3])
  const latency: LatencyPoint[] = []
  for (const line of output.matchAll(/^\s+([\d.]+)%\s+([\d.]+)(us|ms|s|m)\s*$/gm))
    latency.push({ percentile: Number(line[1]), microseconds: Number(line[2]) * MICROSECONDS[line[3]!]! })
  return {
    requests: Number(total[1]),
    seconds: (Number(total[2]) * MICROSECONDS[total[3]!]!) / 1e6,
    bytesRead: Number(total[4]) * BYTES[total[5]!]!,
    errors,
    refused,
    latency,
  }
}

const MICROSECONDS: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6, m: 60e6, h: 3600e6 }
/** wrk counts in powers of 1,024. */
const BYTES: Readonly<Record<string, number>> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 }

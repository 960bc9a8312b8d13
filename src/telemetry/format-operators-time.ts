import type { FormatContext } from './format-context.ts'
import type { OperatorTable } from './format-operators.ts'
import type { FormatReader } from './formatter.ts'
import type { StreamInfo } from './stream-info.ts'
import { compileTimeFormat, isoMilliseconds, type TimeFormat } from './time-format.ts'

function time(args: string, suffix: string): TimeFormat {
  return args === '' ? isoMilliseconds(suffix) : compileTimeFormat(args)
}

function startTime(suffix: string): (args: string) => FormatReader {
  return args => {
    const print = time(args, suffix)
    return c => print(c.info.startWall)
  }
}

function emitTime(suffix: string): (args: string) => FormatReader {
  return args => {
    const print = time(args, suffix)
    return () => print(Date.now())
  }
}

export function certificateTime(wall: (c: FormatContext) => number): (args: string) => FormatReader {
  return args => {
    const print = time(args, 'Z')
    return c => {
      const value = wall(c)
      return value > 0 ? print(value) : null
    }
  }
}

type Point = (info: StreamInfo) => number

const POINTS: Readonly<Record<string, Point>> = {
  DS_RX_BEG: i => i.start,
  DS_RX_END: i => i.lastDownstreamRx,
  DS_TX_BEG: i => i.firstDownstreamTx,
  DS_TX_END: i => i.lastDownstreamTx,
  US_CX_BEG: i => i.upstreamConnectStart,
  US_CX_END: i => i.upstreamConnectEnd,
  US_HS_END: i => i.upstreamHandshakeEnd,
  US_TX_BEG: i => i.firstUpstreamTx,
  US_TX_END: i => i.lastUpstreamTx,
  US_RX_BEG: i => i.firstUpstreamRx,
  US_RX_END: i => i.lastUpstreamRx,
}

const PER_MS: Readonly<Record<string, number>> = { ms: 1, us: 1000, ns: 1_000_000 }

function between(start: Point, end: Point, scale = 1): FormatReader {
  return c => {
    const from = start(c.info)
    const to = end(c.info)
    return from < 0 || to < 0 || to < from ? null : Math.trunc((to - from) * scale)
  }
}

function commonDuration(args: string): FormatReader {
  const [from = '', to = '', unit = 'ms'] = args.split(':')
  const start = POINTS[from]
  const end = POINTS[to]
  // Other names are points that filters set in Envoy; none of ours does.
  return start === undefined || end === undefined ? () => null : between(start, end, PER_MS[unit] ?? 1)
}

const start: Point = i => i.start

export const TIME_OPERATORS: OperatorTable = {
  START_TIME: startTime('Z'),
  START_TIME_LOCAL: startTime('+0000'),
  EMIT_TIME: emitTime('Z'),
  EMIT_TIME_LOCAL: emitTime('+0000'),
  DURATION: () => between(start, i => i.end),
  REQUEST_DURATION: () => between(start, i => i.lastDownstreamRx),
  REQUEST_TX_DURATION: () => between(start, i => i.lastUpstreamTx),
  RESPONSE_DURATION: () => between(start, i => i.firstUpstreamRx),
  RESPONSE_TX_DURATION: () =>
    between(
      i => i.firstUpstreamRx,
      i => i.lastDownstreamTx,
    ),
  // Counted from the start of the stream, and so negative for requests, as in Envoy: their handshake was before.
  DOWNSTREAM_HANDSHAKE_DURATION: () => c => {
    const { downstreamHandshakeEnd, start } = c.info
    // Adding 0 makes 0 of -0.
    return downstreamHandshakeEnd < 0 || start < 0 ? null : Math.trunc(downstreamHandshakeEnd - start) + 0
  },
  UPSTREAM_CONNECTION_POOL_READY_DURATION: () =>
    between(
      i => i.poolRequest,
      i => i.poolAnswer,
    ),
  COMMON_DURATION: commonDuration,
}

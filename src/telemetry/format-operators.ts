import { hostname } from 'node:os'
import { lazyCrypto } from '../base/lazy-modules.ts'
import { coalesceArgs, type FormatToken } from '../config/format-string.ts'
import type { AccessLogType, FormatContext } from './format-context.ts'
import { CONNECTION_OPERATORS } from './format-operators-connection.ts'
import { HEADER_OPERATORS } from './format-operators-headers.ts'
import { METADATA_OPERATORS } from './format-operators-metadata.ts'
import { TIME_OPERATORS } from './format-operators-time.ts'
import type { FormatReader, FormatValue } from './formatter.ts'
import { responseFlagNames } from './response-flags.ts'

/** Operator name → maker of its reader from the text between the parentheses. */
export type OperatorTable = Readonly<Record<string, (args: string) => FormatReader>>

type OperatorToken = Extract<FormatToken, { kind: 'operator' }>

/** The reader of a checked operator. Those whose facts Remora does not gather print as Envoy does without the fact. */
export function readerOf(token: OperatorToken): FormatReader {
  if (token.name === 'COALESCE') return coalesce(token.args)
  const make = Object.hasOwn(OPERATORS, token.name) ? OPERATORS[token.name] : undefined
  return make === undefined ? missing : make(token.args)
}

/** %ACCESS_LOG_TYPE%: set by access loggers around a line; formatting is synchronous. */
export function setAccessLogType(type: AccessLogType | ''): void {
  accessLogType = type
}

let accessLogType: AccessLogType | '' = ''

const missing: FormatReader = () => null
const orNull = (text: string): string | null => (text === '' ? null : text)

/** The first operator that has a value. */
function coalesce(args: string): FormatReader {
  const readers = coalesceArgs(args).map(token => {
    const operator = token as OperatorToken
    const read = readerOf(operator)
    if (operator.length < 0) return read
    return (context: FormatContext): FormatValue => {
      const value = read(context)
      return typeof value === 'string' ? value.slice(0, operator.length) : value
    }
  })
  return context => {
    for (let i = 0; i < readers.length; i++) {
      const value = readers[i]!(context)
      if (value !== null && value !== '') return value
    }
    return null
  }
}

const HOSTNAME = hostname()

const STREAM_OPERATORS: OperatorTable = {
  ACCESS_LOG_TYPE: () => () => (accessLogType === '' ? 'NotSet' : accessLogType),
  BYTES_RECEIVED: () => c => c.info.bytesReceived,
  BYTES_SENT: () => c => c.info.bytesSent,
  // TCP_INFO is out of reach from Node; Envoy on loopback prints 0 as well.
  BYTES_RETRANSMITTED: () => () => 0,
  CONNECTION_TERMINATION_DETAILS: () => c => orNull(c.info.connectionTerminationDetails),
  CUSTOM_FLAGS: () => () => '',
  FILTER_CHAIN_NAME: () => c => orNull(c.info.filterChainName),
  LISTENER_NAME: () => c => orNull(c.info.listenerName),
  HOSTNAME: () => () => HOSTNAME,
  LOCAL_REPLY_BODY: () => c => c.localReplyBody,
  PROTOCOL: () => c => orNull(c.info.protocol),
  RESPONSE_CODE: () => c => c.info.responseCode,
  RESPONSE_CODE_DETAILS: () => c => orNull(c.info.responseCodeDetails),
  RESPONSE_FLAGS: () => c => responseFlagNames(c.info.flagOrder, false),
  RESPONSE_FLAGS_LONG: () => c => responseFlagNames(c.info.flagOrder, true),
  ROUTE_NAME: () => c => orNull(c.info.routeName),
  SPAN_ID: () => c => orNull(c.info.spanId),
  STREAM_ID: () => c => orNull(c.info.requestId),
  TRACE_ID: () => c => orNull(c.info.traceId),
  UNIQUE_ID: () => () => lazyCrypto().randomUUID(),
  VIRTUAL_CLUSTER_NAME: () => c => orNull(c.info.virtualClusterName),
  UPSTREAM_CLUSTER: () => c => orNull(c.info.upstreamClusterStatName || c.info.upstreamClusterName),
  UPSTREAM_CLUSTER_RAW: () => c => orNull(c.info.upstreamClusterName),
  UPSTREAM_PROTOCOL: () => c => orNull(c.info.upstreamProtocol),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: () => c => c.info.upstreamAttempts,
  UPSTREAM_TRANSPORT_FAILURE_REASON: () => c =>
    c.info.upstreamTransportFailure === '' ? null : c.info.upstreamTransportFailure.replaceAll(' ', '_'),
  DOWNSTREAM_HEADER_BYTES_RECEIVED: () => c => c.info.downstreamHeaderBytesReceived,
  DOWNSTREAM_HEADER_BYTES_SENT: () => c => c.info.downstreamHeaderBytesSent,
  DOWNSTREAM_WIRE_BYTES_RECEIVED: () => c => c.info.downstreamWireBytesReceived,
  DOWNSTREAM_WIRE_BYTES_SENT: () => c => c.info.downstreamWireBytesSent,
  UPSTREAM_HEADER_BYTES_RECEIVED: () => c => c.info.upstreamHeaderBytesReceived,
  UPSTREAM_HEADER_BYTES_SENT: () => c => c.info.upstreamHeaderBytesSent,
  UPSTREAM_WIRE_BYTES_RECEIVED: () => c => c.info.upstreamWireBytesReceived,
  UPSTREAM_WIRE_BYTES_SENT: () => c => c.info.upstreamWireBytesSent,
  // Before HPACK; equal to the bytes on the wire for HTTP/1.
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED: () => c => c.info.downstreamHeaderBytesReceived,
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT: () => c => c.info.downstreamHeaderBytesSent,
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED: () => c => c.info.upstreamHeaderBytesReceived,
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT: () => c => c.info.upstreamHeaderBytesSent,
}

const OPERATORS: OperatorTable = {
  ...STREAM_OPERATORS,
  ...HEADER_OPERATORS,
  ...CONNECTION_OPERATORS,
  ...METADATA_OPERATORS,
  ...TIME_OPERATORS,
}

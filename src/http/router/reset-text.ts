import { ResetReason } from '../../codec/codec.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { PoolFailure } from '../../upstream/upstream.ts'

/** What a failed attempt looks like to the client and in the log. */
export interface FailureText {
  /** Inside `… reset reason: R`. */
  readonly text: string
  readonly status: number
  readonly flag: ResponseFlag
  /** What the retry policy is asked about. */
  readonly reason: ResetReason
}

const overflow: FailureText = {
  text: 'overflow',
  status: 503,
  flag: ResponseFlag.UpstreamOverflow,
  reason: ResetReason.Overflow,
}
const localConnect: FailureText = {
  text: 'local connection failure',
  status: 503,
  flag: ResponseFlag.UpstreamConnectionFailure,
  reason: ResetReason.ConnectionFailure,
}
const remoteConnect: FailureText = {
  text: 'remote connection failure',
  status: 503,
  flag: ResponseFlag.UpstreamConnectionFailure,
  reason: ResetReason.ConnectionFailure,
}
const connectTimeout: FailureText = {
  text: 'connection timeout',
  status: 503,
  flag: ResponseFlag.UpstreamConnectionFailure,
  reason: ResetReason.ConnectionTimeout,
}
const termination: FailureText = {
  text: 'connection termination',
  status: 503,
  flag: ResponseFlag.UpstreamConnectionTermination,
  reason: ResetReason.ConnectionTermination,
}
const remoteReset: FailureText = {
  text: 'remote reset',
  status: 503,
  flag: ResponseFlag.UpstreamRemoteReset,
  reason: ResetReason.Remote,
}
const remoteRefused: FailureText = {
  text: 'remote refused stream reset',
  status: 503,
  flag: ResponseFlag.UpstreamRemoteReset,
  reason: ResetReason.RemoteRefused,
}
const localReset: FailureText = {
  text: 'local reset',
  status: 503,
  flag: ResponseFlag.LocalReset,
  reason: ResetReason.Local,
}
const localRefused: FailureText = {
  text: 'local refused stream reset',
  status: 503,
  flag: ResponseFlag.LocalReset,
  reason: ResetReason.LocalRefused,
}
const protocol: FailureText = {
  text: 'protocol error',
  status: 502,
  flag: ResponseFlag.UpstreamProtocolError,
  reason: ResetReason.Protocol,
}
const connectError: FailureText = {
  text: 'remote error with CONNECT request',
  status: 503,
  flag: ResponseFlag.UpstreamRemoteReset,
  reason: ResetReason.ConnectError,
}
const overload: FailureText = {
  text: 'overload manager reset',
  status: 503,
  flag: ResponseFlag.OverloadManager,
  reason: ResetReason.Overload,
}

export function poolFailureText(failure: PoolFailure): FailureText {
  switch (failure) {
    case PoolFailure.Overflow:
    case PoolFailure.PendingOverflow:
      return overflow
    case PoolFailure.LocalConnectionFailure:
      return localConnect
    case PoolFailure.Timeout:
      return connectTimeout
    default:
      return remoteConnect
  }
}

export function resetText(reason: ResetReason): FailureText {
  switch (reason) {
    case ResetReason.Local:
      return localReset
    case ResetReason.LocalRefused:
      return localRefused
    case ResetReason.Remote:
      return remoteReset
    case ResetReason.RemoteRefused:
      return remoteRefused
    case ResetReason.ConnectionFailure:
      return remoteConnect
    case ResetReason.ConnectionTimeout:
      return connectTimeout
    case ResetReason.Overflow:
      return overflow
    case ResetReason.Protocol:
      return protocol
    case ResetReason.ConnectError:
      return connectError
    case ResetReason.Overload:
      return overload
    default:
      return termination
  }
}

/** `upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}` */
export function resetDetails(text: string, transportFailure: string, responseStarted: boolean): string {
  const inner = transportFailure === '' ? text : `${text}|${transportFailure}`
  return `upstream_reset_${responseStarted ? 'after' : 'before'}_response_started{${inner}}`.replaceAll(' ', '_')
}

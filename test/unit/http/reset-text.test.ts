import t from 'tap'
import { ResetReason } from '../../../src/codec/codec.ts'
import { poolFailureText, resetDetails, resetText } from '../../../src/http/router/reset-text.ts'
import { ResponseFlag } from '../../../src/telemetry/stream-info.ts'
import { PoolFailure } from '../../../src/upstream/upstream.ts'

t.test(
  'texts, statuses and flags of resets (Http::Utility::resetReasonToString, streamResetReasonToResponseFlag)',
  t => {
    const cases: [keyof typeof ResetReason, string, number, ResponseFlag][] = [
      ['Local', 'local reset', 503, ResponseFlag.LocalReset],
      ['LocalRefused', 'local refused stream reset', 503, ResponseFlag.LocalReset],
      ['Remote', 'remote reset', 503, ResponseFlag.UpstreamRemoteReset],
      ['RemoteRefused', 'remote refused stream reset', 503, ResponseFlag.UpstreamRemoteReset],
      ['ConnectionFailure', 'remote connection failure', 503, ResponseFlag.UpstreamConnectionFailure],
      ['ConnectionTimeout', 'connection timeout', 503, ResponseFlag.UpstreamConnectionFailure],
      ['ConnectionTermination', 'connection termination', 503, ResponseFlag.UpstreamConnectionTermination],
      ['Overflow', 'overflow', 503, ResponseFlag.UpstreamOverflow],
      ['Protocol', 'protocol error', 502, ResponseFlag.UpstreamProtocolError],
      ['ConnectError', 'remote error with CONNECT request', 503, ResponseFlag.UpstreamRemoteReset],
      ['Overload', 'overload manager reset', 503, ResponseFlag.OverloadManager],
    ]
    for (const [name, text, status, flag] of cases) {
      const reason = ResetReason[name]
      t.match(resetText(reason), { text, status, flag, reason }, name)
    }
    t.equal(cases.length, Object.keys(ResetReason).length, 'every reason has a text')
    t.end()
  },
)

t.test('failures of a pool', t => {
  const reasons = Object.values(PoolFailure).map(failure => poolFailureText(failure).text)
  t.same(reasons, [
    'overflow',
    'remote connection failure',
    'local connection failure',
    'connection timeout',
    'overflow',
  ])
  t.end()
})

t.test('details never hold blanks', t => {
  t.equal(
    resetDetails('connection termination', '', false),
    'upstream_reset_before_response_started{connection_termination}',
  )
  t.equal(resetDetails('remote reset', '', true), 'upstream_reset_after_response_started{remote_reset}')
  t.equal(
    resetDetails('remote connection failure', 'delayed_connect_error:_Connection_refused', false),
    'upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}',
  )
  t.end()
})

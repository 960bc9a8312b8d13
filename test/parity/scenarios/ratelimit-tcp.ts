import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { checkWord, limitWord } from '../../harness/authz-wire.ts'
import { bootstrap, cluster, downstreamTls, fileLog, H2_UPSTREAM, tcpListener, typed } from '../configs/builder.ts'
import { admin, type Group, type Step, scenario, tcp, together } from '../scenario.ts'

/** Connections that a rate limit service is asked about. */
const TYPE = 'envoy.extensions.filters.network.ratelimit.v3.RateLimit'
type Response = envoy.service.ratelimit.v3.RateLimitResponse
const LOG = [
  fileLog(
    'flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% term=%CONNECTION_TERMINATION_DETAILS% cluster=%UPSTREAM_CLUSTER% rx=%BYTES_RECEIVED% md=%DYNAMIC_METADATA(envoy.filters.network.ratelimit)%\n',
  ),
]
const DESCRIPTORS =
  'descriptors: [{entries: [{key: client, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}, {key: fixed, value: text}, {key: sni, value: "a%REQUESTED_SERVER_NAME%"}]}, {entries: [{key: other, value: one}]}]'
const listener = (name: string, script: Response | string, body = '', service = 'limits', after: object[] = []) => {
  const word = typeof script === 'string' ? script : limitWord(script)
  const grpc = `rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: ${service}}, initial_metadata: [{key: x-up, value: "${word}"}]}}`
  return tcpListener(name, `cluster: t\naccess_log: ${JSON.stringify(LOG)}`, '', [
    typed(
      'envoy.filters.network.ratelimit',
      TYPE,
      `stat_prefix: ${name}\ndomain: test\ntimeout: 0.5s\n${DESCRIPTORS}\n${grpc}\n${body}`,
    ),
    ...(after as Record<string, unknown>[]),
  ])
}
/** Asks with the first bytes. */
const AUTHZ = typed(
  'envoy.filters.network.ext_authz',
  'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz',
  `stat_prefix: behind\ntransport_api_version: V3\ngrpc_service: {envoy_grpc: {cluster_name: auth}, timeout: 2s, initial_metadata: [{key: x-up, value: "${checkWord({ status: { code: 0 } })}"}]}`,
)
const TLS = downstreamTls(
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]}',
)
const tlsListener = (name: string, script: Response | string) => {
  const made = listener(name, script)
  const [chain] = made['filter_chains'] as object[]
  return { ...made, filter_chains: [{ ...chain, transport_socket: TLS }] }
}
const stats = (...names: readonly string[]) => ({
  stats: names.map(name => `^ratelimit\\.${name}\\.`),
  logLines: names.length,
})
const passes = (name: string): Step => tcp(name, ['hello', { bytes: 5 }, { end: true }, { closed: true }])
const closes = (name: string): Step => tcp(name, [{ closed: true }])

const group: Group = {
  name: 'tcp-limits',
  upstreams: { t: { kind: 'tcp' }, limits: { kind: 'h2' }, auth: { kind: 'h2' } },
  config: bootstrap(
    [
      listener('fine', { overall_code: 'OK', dynamic_metadata: { left: 3 } }),
      listener('over', { overall_code: 'OVER_LIMIT', dynamic_metadata: { left: 0 } }),
      listener('broken', 'rst:2'),
      listener('deny', 'rst:2', 'failure_mode_deny: true'),
      listener('late', `delay:100,${limitWord({ overall_code: 'OK' })}`),
      listener('gone', 'ok', '', 'nowhere'),
      listener('gone_deny', 'ok', 'failure_mode_deny: true', 'nowhere'),
      listener('slow', 'hang'),
      listener('left', 'hang'),
      listener('behind', `delay:100,${limitWord({ overall_code: 'OK' })}`, '', 'limits', [AUTHZ]),
      tlsListener('secure', `delay:100,${limitWord({ overall_code: 'OK' })}`),
    ],
    [cluster('t', 't'), cluster('limits', 'limits', H2_UPSTREAM), cluster('auth', 'auth', H2_UPSTREAM)],
  ),
  scenarios: [
    scenario('ok', 'The service lets it pass', passes('fine'), [], stats('fine')),
    scenario('over', 'Over the limit: closed', closes('over'), [], stats('over')),
    scenario('broken', 'A call that fails lets it pass', passes('broken'), [], { ...stats('broken'), upstream: false }),
    scenario('deny', 'Or closes it', closes('deny'), [], { ...stats('deny'), upstream: false }),
    scenario('late', 'What the client sends waits', passes('late'), [], stats('late')),
    scenario(
      'gone',
      'A service that is not there',
      [passes('gone'), closes('gone_deny')],
      [],
      stats('gone', 'gone_deny'),
    ),
    scenario('slow', 'One that is slow', passes('slow'), [], { ...stats('slow'), upstream: false }),
    scenario(
      'left',
      'A client that goes away takes its question with it',
      tcp('left', [{ wait: 100 }, { reset: true }]),
      [],
      { ...stats('left'), upstream: false },
    ),
    scenario(
      'behind',
      'The filter behind it is given what the client sends, and nothing before that',
      together(tcp('behind', [{ wait: 900 }, 'hello', { bytes: 5 }, { end: true }, { closed: true }]), [
        500,
        admin('/stats?filter=^ext_authz\\.behind\\.total'),
      ]),
      [],
      { stats: ['^ext_authz\\.behind\\.', '^ratelimit\\.behind\\.'], logLines: 1, upstream: false },
    ),
    scenario(
      'tls',
      'The handshake does not wait for the answer',
      tcp('secure', ['hello', { bytes: 5 }, { end: true }, { closed: true }], { tls: { sni: 'lab.test' } }),
      [],
      stats('secure'),
    ),
  ],
}

export default group

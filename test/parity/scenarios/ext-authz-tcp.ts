import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { checkWord } from '../../harness/authz-wire.ts'
import { bootstrap, cluster, downstreamTls, fileLog, H2_UPSTREAM, tcpListener, typed } from '../configs/builder.ts'
import { type Group, type Step, scenario, tcp } from '../scenario.ts'

/** Connections that a gRPC authorization service is asked about. */
const TYPE = 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz'
type Response = envoy.service.auth.v3.CheckResponse
const OK: Response = { status: { code: 0 } }
const NO: Response = { status: { code: 7 } }
const LOG = [
  fileLog(
    'flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% term=%CONNECTION_TERMINATION_DETAILS% cluster=%UPSTREAM_CLUSTER% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% md=%DYNAMIC_METADATA(envoy.filters.network.ext_authz)%\n',
  ),
]
const listener = (name: string, script: Response | string, body = '', more = '', timeout = '2s') => {
  const word = typeof script === 'string' ? script : checkWord(script)
  const service = `grpc_service: {envoy_grpc: {cluster_name: auth}, timeout: ${timeout}, initial_metadata: [{key: x-up, value: "${word}"}]}`
  return tcpListener(name, `cluster: t\naccess_log: ${JSON.stringify(LOG)}`, more, [
    typed(
      'envoy.filters.network.ext_authz',
      TYPE,
      `stat_prefix: ${name}\ntransport_api_version: V3\n${service}\n${body}`,
    ),
  ])
}
const TLS = downstreamTls(
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}], validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}',
)
const INSPECTOR =
  'listener_filters: [{name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]'
const tlsListener = () => {
  const made = listener('secure', OK, 'include_peer_certificate: true\ninclude_tls_session: true', INSPECTOR)
  const [chain] = made['filter_chains'] as object[]
  return { ...made, filter_chains: [{ ...chain, transport_socket: TLS }] }
}
const stats = (...names: readonly string[]) => ({
  stats: names.map(name => `^ext_authz\\.${name}\\.`),
  logLines: names.length,
})
const pass = (name: string): Step => tcp(name, ['hi', { bytes: 2 }, { end: true }, { closed: true }])

const group: Group = {
  name: 'ext-authz-tcp',
  upstreams: { t: { kind: 'tcp' }, auth: { kind: 'h2' } },
  config: bootstrap(
    [
      listener('ok', { ...OK, dynamic_metadata: { user: 'joe' } }, 'bootstrap_metadata_labels_key: labels'),
      listener('slow', `delay:100,${checkWord(OK)}`),
      listener('denied', { ...NO, dynamic_metadata: { why: 'no' } }),
      listener('error', 'check:,tonly:14'),
      listener('late', 'check:,hang', '', '', '0.3s'),
      listener('allow', 'check:,tonly:14', 'failure_mode_allow: true'),
      listener('off', NO, 'filter_enabled_metadata: {filter: a, path: [{key: b}], value: {present_match: true}}'),
      listener('gone', `check:,hang`),
      tlsListener(),
    ],
    [cluster('t', 't'), cluster('auth', 'auth', H2_UPSTREAM)],
    'node: {id: parity, cluster: parity-cluster, metadata: {labels: {app: web}}}',
  ),
  scenarios: [
    scenario('allowed', 'The first bytes bring the question; they go on with the answer', pass('ok'), [], stats('ok')),
    scenario(
      'waits',
      'What comes meanwhile waits',
      tcp('slow', ['hi', { wait: 30 }, ' there', { bytes: 8 }, { end: true }, { closed: true }]),
      [],
      // The real one counts bytes twice that wait, when they come apart.
      { ...stats('slow'), log: false },
    ),
    scenario('denied', 'A refused connection is closed', tcp('denied', ['hi', { closed: true }]), [], stats('denied')),
    scenario('error', 'So it is without an answer', tcp('error', ['hi', { closed: true }]), [], stats('error')),
    scenario('late', 'Or when it comes late', tcp('late', ['hi', { closed: true }]), [], stats('late')),
    scenario('failure-mode-allow', 'Unless failures are allowed', pass('allow'), [], stats('allow')),
    scenario('disabled', 'filter_enabled_metadata', pass('off'), [], stats('off')),
    scenario(
      'gone',
      'A client that goes away takes its question with it',
      tcp('gone', ['hi', { wait: 50 }, { reset: true }]),
      [],
      stats('gone'),
    ),
    scenario(
      'tls',
      'Who the client is by its certificate, and whom it asked for',
      tcp('secure', ['hi', { bytes: 2 }, { end: true }, { closed: true }], {
        tls: { sni: 'lab.test', certificate: 'client' },
      }),
      [],
      stats('secure'),
    ),
  ],
}

export default group

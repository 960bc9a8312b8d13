import { bootstrap, cluster, downstreamTls, fileLog, httpListener } from '../configs/builder.ts'
import { type Group, get, type Step, scenario, type TlsClient } from '../scenario.ts'

/** What the listener's log says of handshakes that fail: the facts that were known by then. */
const FORMAT =
  'flags=%RESPONSE_FLAGS% tls=%DOWNSTREAM_TLS_VERSION% cipher=%DOWNSTREAM_TLS_CIPHER% local=%DOWNSTREAM_LOCAL_SUBJECT% ' +
  'peer=%DOWNSTREAM_PEER_SUBJECT% serial=%DOWNSTREAM_PEER_SERIAL% sni=%REQUESTED_SERVER_NAME% dfail=%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n'
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const CERTIFICATE =
  'tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]'
const ROUTES = '[{match: {prefix: /}, route: {cluster: a}}]'

const listener = (name: string, version: string) =>
  httpListener(name, {
    routes: ROUTES,
    listener: LOG,
    transport: downstreamTls(
      `require_client_certificate: true\ncommon_tls_context: {${CERTIFICATE}, tls_params: {${version}}, validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}`,
    ),
  })
const ask = (listener: string, tls: TlsClient): Step => get('/', { listener, tls })

const group: Group = {
  name: 'tls-refused',
  upstreams: { a: { kind: 'http1' } },
  config: bootstrap(
    [
      listener('only12', 'tls_maximum_protocol_version: TLSv1_2'),
      listener('only13', 'tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3'),
    ],
    [cluster('a', 'a')],
  ),
  scenarios: [
    scenario('good-12', 'TLS 1.2', ask('only12', { sni: 'lab.test', certificate: 'client' })),
    scenario('good-13', 'TLS 1.3', ask('only13', { sni: 'lab.test', certificate: 'client' })),
    scenario('unknown-12', 'A certificate nobody trusts', ask('only12', { sni: 'lab.test', certificate: 'stranger' })),
    scenario('unknown-13', 'The same, TLS 1.3', ask('only13', { sni: 'lab.test', certificate: 'stranger' })),
    scenario('missing-13', 'No certificate, TLS 1.3', ask('only13', { sni: 'lab.test' })),
    scenario('version', 'TLS 1.2 where 1.3 is the minimum', ask('only13', { sni: 'lab.test', maxVersion: 'TLSv1.2' })),
    scenario('plain-12', 'Plain text', get('/', { listener: 'only12' })),
    scenario('plain-13', 'The same, TLS 1.3', get('/', { listener: 'only13' })),
  ],
}

export default group

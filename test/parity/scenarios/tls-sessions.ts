import { bootstrap, cluster, downstreamTls, httpListener, upstreamTls, yaml } from '../configs/builder.ts'
import { type Group, get, type Step, scenario, type TlsClient } from '../scenario.ts'

/** Resumption of TLS sessions, and the counters that carry the name of what was agreed on. */
const ROUTES = `
- {match: {path: /12}, route: {cluster: up12}}
- {match: {path: /13}, route: {cluster: up13}}
- {match: {path: /none}, route: {cluster: up_none}}
- {match: {path: /rsa12}, route: {cluster: rsa12}}
- {match: {path: /rsa13}, route: {cluster: rsa13}}
- {match: {path: /rsa384}, route: {cluster: rsa384}}
- {match: {path: /rsa1}, route: {cluster: rsa1}}
- {match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}
`
const CERT = (name: string) =>
  `tls_certificates: [{certificate_chain: {filename: $cert(${name}.pem)}, private_key: {filename: $cert(${name}.key)}}]`
const SERVER = `common_tls_context: {${CERT('server')}}`
const listener = (name: string, tls: string) =>
  httpListener(name, { routes: ROUTES, listener: `stat_prefix: ${name}`, transport: downstreamTls(tls) })
const key = (byte: number) => Buffer.alloc(80, byte).toString('base64')
const keys = (...bytes: number[]) =>
  `session_ticket_keys: {keys: [${bytes.map(b => `{inline_bytes: "${key(b)}"}`).join(', ')}]}`
const mutual = (ca: string, extra = '') =>
  `require_client_certificate: true\ncommon_tls_context: {${CERT('server')}, ${extra} validation_context: {trusted_ca: {filename: $cert(${ca}.pem)}}}`

const CLIENT: TlsClient = { sni: 'lab.test' }
const OLD: TlsClient = { ...CLIENT, maxVersion: 'TLSv1.2' }
const on = (listener: string, tls: TlsClient): Step => get('/', { listener, tls })
const again = (tls: TlsClient): TlsClient => ({ ...tls, resume: true })
const stats = (scope: string) => ({
  log: false,
  stats: [`^${scope}\\.ssl\\.(session_reused|handshake|no_certificate)`],
})
const named = (scope: string) => ({
  log: false,
  upstream: false,
  stats: [`^${scope}\\.ssl\\.(sigalgs|ciphers|curves|versions|session_reused|handshake)`],
})
const resumed = (name: string, doc: string, first: string, second: string, tls: TlsClient, andAgain = second) =>
  scenario(
    name,
    doc,
    [on(first, tls), on(second, again(tls)), on(andAgain, again(tls))],
    [],
    stats(`listener\\.${second}`),
  )

const once = yaml(`
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: {max_requests_per_connection: 1}
    explicit_http_config: {http_protocol_options: {}}
`)
const upstream = (name: string, to: string, tls: string) =>
  cluster(name, to, JSON.stringify({ ...JSON.parse(upstreamTls(`sni: lab.test\n${tls}`)), ...once }))
const params = (text: string) => `common_tls_context: {tls_params: {${text}}}`
const up = (path: string): Step => get(path, { listener: 'plain' })

const group: Group = {
  name: 'tls-sessions',
  upstreams: {
    tls: { kind: 'http1', tls: { certificate: 'server' } },
    rsa: { kind: 'http1', tls: { certificate: 'rsa' } },
  },
  config: bootstrap(
    [
      httpListener('plain', { routes: ROUTES }),
      listener('secure', SERVER),
      listener('nostateless', `disable_stateless_session_resumption: true\n${SERVER}`),
      listener('nostateful', `disable_stateful_session_resumption: true\n${SERVER}`),
      listener(
        'neither',
        `disable_stateless_session_resumption: true\ndisable_stateful_session_resumption: true\n${SERVER}`,
      ),
      listener('short', `session_timeout: 1s\n${SERVER}`),
      listener('zero', `session_timeout: 0s\n${SERVER}`),
      listener('oldkey', `${keys(1)}\n${SERVER}`),
      listener('newkey', `${keys(2, 1)}\n${SERVER}`),
      listener('otherkey', `${keys(3)}\n${SERVER}`),
      listener('newkeyonly', `${keys(2)}\n${SERVER}`),
      listener('mutual', mutual('ca')),
      listener('mutualrsa', mutual('rsa')),
      listener(
        'mutual384',
        mutual(
          'rsa',
          'tls_params: {signature_algorithms: [rsa_pss_rsae_sha384, rsa_pss_rsae_sha256, ecdsa_secp256r1_sha256]},',
        ),
      ),
      listener('rsaserver', `common_tls_context: {${CERT('rsa')}}`),
    ],
    [
      upstream('up12', 'tls', ''),
      upstream('up13', 'tls', params('tls_maximum_protocol_version: TLSv1_3')),
      upstream('up_none', 'tls', 'max_session_keys: 0'),
      upstream('rsa12', 'rsa', ''),
      upstream('rsa13', 'rsa', params('tls_maximum_protocol_version: TLSv1_3')),
      upstream('rsa384', 'rsa', params('signature_algorithms: [rsa_pss_rsae_sha384]')),
      upstream('rsa1', 'rsa', params('signature_algorithms: [rsa_pkcs1_sha256]')),
    ],
  ),
  scenarios: [
    resumed('ticket-13', 'TLS 1.3 is resumed by a ticket', 'secure', 'secure', CLIENT),
    resumed('ticket-12', 'TLS 1.2 is resumed by a ticket', 'secure', 'secure', OLD),
    resumed('id-12', 'TLS 1.2 is resumed by a session id', 'secure', 'secure', { ...OLD, noTickets: true }),
    resumed('stateless-off-13', 'disable_stateless_session_resumption, TLS 1.3', 'nostateless', 'nostateless', CLIENT),
    resumed('stateless-off-12', 'disable_stateless_session_resumption, TLS 1.2', 'nostateless', 'nostateless', OLD),
    resumed('stateful-off-13', 'disable_stateful_session_resumption, TLS 1.3', 'nostateful', 'nostateful', CLIENT),
    resumed('stateful-off-12', 'disable_stateful_session_resumption, TLS 1.2', 'nostateful', 'nostateful', OLD),
    resumed(
      'stateful-off-id',
      'disable_stateful_session_resumption, a client without tickets',
      'nostateful',
      'nostateful',
      {
        ...OLD,
        noTickets: true,
      },
    ),
    resumed('neither-13', 'No resumption at all, TLS 1.3', 'neither', 'neither', CLIENT),
    resumed('neither-12', 'No resumption at all, TLS 1.2', 'neither', 'neither', OLD),
    scenario(
      'timeout',
      'A session is not resumed when session_timeout is over',
      [on('short', CLIENT), { kind: 'wait', ms: 2100 }, on('short', again(CLIENT))],
      [],
      stats('listener\\.short'),
    ),
    scenario(
      'timeout-12',
      'A session of TLS 1.2 is not resumed when session_timeout is over',
      [on('short', OLD), { kind: 'wait', ms: 2100 }, on('short', again(OLD))],
      [],
      stats('listener\\.short'),
    ),
    resumed('timeout-zero-12', 'session_timeout: 0s, TLS 1.2', 'zero', 'zero', OLD),
    resumed('timeout-zero', 'session_timeout: 0s', 'zero', 'zero', CLIENT),
    resumed('other-listener', 'Another listener of the same context takes the ticket', 'secure', 'nostateful', CLIENT),
    resumed('keys-same', 'session_ticket_keys: the key encrypts and decrypts', 'oldkey', 'oldkey', CLIENT),
    resumed(
      'keys-second',
      'A ticket of the second key is taken; the new one is of the first',
      'oldkey',
      'newkey',
      CLIENT,
      'newkeyonly',
    ),
    resumed(
      'keys-second-12',
      'A ticket of the second key is renewed with the first',
      'oldkey',
      'newkey',
      OLD,
      'newkeyonly',
    ),
    resumed('keys-first', 'New tickets are of the first key', 'newkey', 'newkeyonly', CLIENT),
    resumed('keys-not-first', 'New tickets are not of the second key', 'newkey', 'oldkey', CLIENT),
    resumed('keys-unknown', 'A ticket of an unknown key is a full handshake', 'oldkey', 'otherkey', CLIENT),
    resumed('keys-unknown-12', 'A ticket of an unknown key is a full handshake', 'oldkey', 'otherkey', OLD),
    scenario(
      'mutual',
      'A resumed session keeps its client certificate',
      [on('mutual', { ...CLIENT, certificate: 'client' }), on('mutual', { ...again(CLIENT), certificate: 'client' })],
      [],
      named('listener\\.mutual'),
    ),
    scenario(
      'named-plain',
      'Counters by name without a client certificate',
      on('secure', CLIENT),
      [],
      named('listener\\.secure'),
    ),
    scenario('named-12', 'Counters by name, TLS 1.2', on('secure', OLD), [], named('listener\\.secure')),
    scenario(
      'named-rsa-13',
      'Counters by name, RSA certificates, TLS 1.3',
      on('mutualrsa', { ...CLIENT, certificate: 'rsa' }),
      [],
      named('listener\\.mutualrsa'),
    ),
    scenario(
      'named-rsa-12',
      'Counters by name, RSA certificates, TLS 1.2',
      on('mutualrsa', { ...OLD, certificate: 'rsa' }),
      [],
      named('listener\\.mutualrsa'),
    ),
    scenario(
      'named-384',
      'Counters by name with signature_algorithms',
      [on('mutual384', { ...CLIENT, certificate: 'rsa' }), on('mutual384', { ...OLD, certificate: 'rsa' })],
      [],
      named('listener\\.mutual384'),
    ),
    scenario(
      'named-mutual-12',
      'Counters by name, a client certificate and TLS 1.2',
      on('mutual', { ...OLD, certificate: 'client' }),
      [],
      named('listener\\.mutual'),
    ),
    scenario(
      'named-server-rsa',
      'The own certificate has no counter',
      on('rsaserver', CLIENT),
      [],
      named('listener\\.rsaserver'),
    ),
    ...['12', '13'].map(version =>
      scenario(
        `upstream-${version}`,
        `Sessions of upstreams, TLS 1.${version[1]}`,
        [up(`/${version}`), up(`/${version}`), up(`/${version}`)],
        [],
        named(`cluster\\.up${version}`),
      ),
    ),
    scenario('upstream-none', 'max_session_keys: 0', [up('/none'), up('/none')], [], named('cluster\\.up_none')),
    ...['rsa12', 'rsa13', 'rsa384', 'rsa1'].map(name =>
      scenario(
        `upstream-${name}`,
        `Counters by name towards ${name}`,
        [up(`/${name}`), up(`/${name}`)],
        [],
        named(`cluster\\.${name}`),
      ),
    ),
  ],
}

export default group

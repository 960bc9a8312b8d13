import {
  bootstrap,
  cluster,
  downstreamTls,
  fileLog,
  H2_UPSTREAM,
  hcm,
  httpListener,
  LOG_FORMAT,
  upstreamTls,
} from '../configs/builder.ts'
import { fields, type Group, get, type RequestOptions, type Step, scenario, type TlsClient } from '../scenario.ts'

/** TLS on either side: which chain, which protocol, whose certificate, and what the request says of it. */
const ROUTES = `
- {match: {path: /ok}, route: {cluster: tls}}
- {match: {path: /h2}, route: {cluster: tls_h2}}
- {match: {path: /alpn}, route: {cluster: tls_alpn}}
- {match: {path: /ver}, route: {cluster: tls_unknown_ca}}
- {match: {path: /san}, route: {cluster: tls_wrong_san}}
- {match: {path: /sanok}, route: {cluster: tls_right_san}}
- {match: {path: /mtls}, route: {cluster: mtls}}
- {match: {path: /mtlsnone}, route: {cluster: mtls_without}}
- {match: {path: /sni}, route: {cluster: tls_auto_sni}}
- {match: {path: /v}, route: {cluster: tls_version}}
- {match: {prefix: /}, route: {cluster: a}}
`
const CERT = (name: string) =>
  `tls_certificates: [{certificate_chain: {filename: $cert(${name}.pem)}, private_key: {filename: $cert(${name}.key)}}]`
const SERVER = `common_tls_context: {${CERT('server')}}`
const MTLS = `common_tls_context: {${CERT('server')}, alpn_protocols: [h2, http/1.1], validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}`
const FORMAT = LOG_FORMAT.replace(
  'type=',
  'tls=%DOWNSTREAM_TLS_VERSION% sni=%REQUESTED_SERVER_NAME% peer=%DOWNSTREAM_PEER_URI_SAN% subject=%DOWNSTREAM_PEER_SUBJECT% dfail=%DOWNSTREAM_TRANSPORT_FAILURE_REASON% type=',
)
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const xfcc = (name: string, mode: string) =>
  httpListener(name, {
    routes: ROUTES,
    hcm: `${LOG}\nforward_client_cert_details: ${mode}\nset_current_client_cert_details: {subject: true, cert: false, dns: true, uri: true}`,
    transport: downstreamTls(`${MTLS}\nrequire_client_certificate: false`),
  })
const chain = (name: string, match: string, certificate: string, alpn = 'h2, http/1.1') => ({
  filter_chain_match: JSON.parse(match) as object,
  transport_socket: downstreamTls(`common_tls_context: {${CERT(certificate)}, alpn_protocols: [${alpn}]}`),
  filters: [
    hcm(name, {
      routes: `[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${name}}}}]`,
      hcm: LOG,
    }),
  ],
})
const ask = (listener: string, tls: TlsClient, options: RequestOptions = {}): Step =>
  get('/', { listener, tls, ...options })
const CLIENT: TlsClient = { sni: 'lab.test', certificate: 'client' }
const XFCC = ['x-forwarded-client-cert: By=spiffe://a;URI=spiffe://b']
const modes = ['sanitize', 'sanitize_set', 'forward_only', 'append_forward', 'always_forward'].map(mode =>
  scenario(
    `xfcc-${mode.replace('_', '-')}`,
    `forward_client_cert_details: ${mode.toUpperCase()}, with and without a certificate`,
    [
      ask(mode.replaceAll('_', ''), CLIENT, { headers: XFCC }),
      ask(mode.replaceAll('_', ''), CLIENT),
      ask(mode.replaceAll('_', ''), { sni: 'lab.test' }, { headers: XFCC }),
    ],
  ),
)
const up = (path: string): Step => get(path, { listener: 'plain' })

const group: Group = {
  name: 'tls',
  upstreams: {
    a: { kind: 'http1' },
    tls: { kind: 'http1', tls: { certificate: 'server', alpn: ['http/1.1'] } },
    tlsh2: { kind: 'h2', tls: { certificate: 'server', alpn: ['h2'] } },
    mtls: { kind: 'http1', tls: { certificate: 'server', requireClient: true } },
  },
  config: bootstrap(
    [
      httpListener('plain', { routes: ROUTES }),
      httpListener('tls13', {
        routes: ROUTES,
        hcm: LOG,
        transport: downstreamTls(
          `common_tls_context: {${CERT('server')}, alpn_protocols: [h2, http/1.1], tls_params: {tls_minimum_protocol_version: TLSv1_2}}`,
        ),
      }),
      httpListener('noalpn', { routes: ROUTES, hcm: LOG, transport: downstreamTls(SERVER) }),
      httpListener('only13', {
        routes: ROUTES,
        hcm: LOG,
        transport: downstreamTls(
          `common_tls_context: {${CERT('server')}, tls_params: {tls_minimum_protocol_version: TLSv1_3}}`,
        ),
      }),
      httpListener('required', {
        routes: ROUTES,
        hcm: LOG,
        transport: downstreamTls(`${MTLS}\nrequire_client_certificate: true`),
      }),
      httpListener('sans', {
        routes: ROUTES,
        hcm: LOG,
        transport: downstreamTls(
          `require_client_certificate: true\ncommon_tls_context: {${CERT('server')}, validation_context: {trusted_ca: {filename: $cert(ca.pem)}, match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "spiffe://cluster.local/ns/other/"}}]}}`,
        ),
      }),
      xfcc('sanitize', 'SANITIZE'),
      xfcc('sanitizeset', 'SANITIZE_SET'),
      xfcc('forwardonly', 'FORWARD_ONLY'),
      xfcc('appendforward', 'APPEND_FORWARD'),
      xfcc('alwaysforward', 'ALWAYS_FORWARD_ONLY'),
      {
        ...httpListener('chains', {
          chains: [
            chain('exact', '{"server_names":["lab.test"]}', 'server'),
            chain('wildcard', '{"server_names":["*.lab.test"]}', 'server'),
            chain('h1only', '{"server_names":["h1.test"],"application_protocols":["http/1.1"]}', 'server', 'http/1.1'),
            chain('other', '{"server_names":["other.test"],"transport_protocol":"tls"}', 'other'),
          ],
          listener: `
listener_filters: [{name: envoy.filters.listener.tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]
access_log: [${JSON.stringify(fileLog('listener flags=%RESPONSE_FLAGS% details=%CONNECTION_TERMINATION_DETAILS% sni=%REQUESTED_SERVER_NAME% dfail=%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n'))}]
`,
        }),
      },
    ],
    [
      cluster('a', 'a'),
      cluster(
        'tls',
        'tls',
        upstreamTls('sni: lab.test\ncommon_tls_context: {validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}'),
      ),
      cluster(
        'tls_h2',
        'tlsh2',
        JSON.stringify({
          ...JSON.parse(upstreamTls('sni: lab.test\ncommon_tls_context: {alpn_protocols: [h2]}')),
          ...h2Options(),
        }),
      ),
      cluster(
        'tls_alpn',
        'tlsh2',
        JSON.stringify({
          ...JSON.parse(upstreamTls('sni: lab.test')),
          ...h2Options('auto_config: {http_protocol_options: {}, http2_protocol_options: {}}'),
        }),
      ),
      cluster(
        'tls_unknown_ca',
        'tls',
        upstreamTls(
          'sni: lab.test\ncommon_tls_context: {validation_context: {trusted_ca: {filename: $cert(stranger.pem)}}}',
        ),
      ),
      cluster(
        'tls_wrong_san',
        'tls',
        upstreamTls(
          'sni: lab.test\ncommon_tls_context: {validation_context: {trusted_ca: {filename: $cert(ca.pem)}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: other.test}}]}}',
        ),
      ),
      cluster(
        'tls_right_san',
        'tls',
        upstreamTls(
          'sni: lab.test\ncommon_tls_context: {validation_context: {trusted_ca: {filename: $cert(ca.pem)}, match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/lab/sa/web"}}]}}',
        ),
      ),
      cluster('mtls', 'mtls', upstreamTls(`common_tls_context: {${CERT('client')}}`)),
      cluster('mtls_without', 'mtls', upstreamTls('sni: lab.test')),
      cluster(
        'tls_version',
        'tls',
        upstreamTls('common_tls_context: {tls_params: {tls_maximum_protocol_version: TLSv1_2}}'),
      ),
      cluster(
        'tls_auto_sni',
        'tls',
        JSON.stringify({
          ...JSON.parse(
            upstreamTls('common_tls_context: {validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}'),
          ),
          ...h2Options(
            'explicit_http_config: {http_protocol_options: {}}\nupstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}',
          ),
        }),
      ),
    ],
  ),
  scenarios: [
    scenario('http1', 'TLS 1.3 without ALPN', ask('tls13', { sni: 'lab.test' })),
    scenario('http1-alpn', 'ALPN http/1.1', ask('tls13', { sni: 'lab.test', alpn: ['http/1.1'] })),
    scenario('tls12', 'TLS 1.2', ask('tls13', { sni: 'lab.test', maxVersion: 'TLSv1.2' })),
    scenario('h2', 'ALPN h2', {
      kind: 'h2',
      listener: 'tls13',
      tls: { sni: 'lab.test' },
      streams: [{ fields: fields('/x', { ':scheme': 'https' }) }],
    }),
    scenario('alpn-server-order', 'The server chooses by its own order', {
      kind: 'h2',
      listener: 'tls13',
      tls: { sni: 'lab.test', alpn: ['http/1.1', 'h2'] },
      streams: [{ fields: fields('/x', { ':scheme': 'https' }) }],
    }),
    scenario('alpn-no-overlap', 'No common protocol is no error', ask('tls13', { sni: 'lab.test', alpn: ['foo'] })),
    scenario(
      'alpn-not-configured',
      'ALPN is ignored where none is configured',
      ask('noalpn', { sni: 'lab.test', alpn: ['h2', 'http/1.1'] }),
    ),
    scenario('scheme-mismatch', ':scheme http over TLS', {
      kind: 'h2',
      listener: 'tls13',
      tls: { sni: 'lab.test' },
      streams: [{ fields: fields('/x') }],
    }),
    scenario(
      'tls12-refused',
      'TLS 1.2 where 1.3 is the minimum',
      ask('only13', { sni: 'lab.test', maxVersion: 'TLSv1.2' }),
      [],
      { stats: ['^listener\\.127\\.0\\.0\\.1_\\d+\\.ssl\\.(connection_error|fail_)'] },
    ),
    scenario('client-certificate', 'A client certificate that is good', ask('required', CLIENT)),
    scenario(
      'client-certificate-missing',
      'No client certificate',
      ask('required', { sni: 'lab.test', maxVersion: 'TLSv1.2' }),
    ),
    scenario(
      'client-certificate-unknown',
      'A client certificate nobody trusts',
      ask('required', { ...CLIENT, certificate: 'stranger', maxVersion: 'TLSv1.2' }),
    ),
    scenario(
      'client-certificate-san',
      'A client certificate with another SAN',
      ask('sans', { ...CLIENT, maxVersion: 'TLSv1.2' }),
    ),
    ...modes,
    scenario('chain-exact', 'server_names exact', ask('chains', { sni: 'lab.test' })),
    scenario('chain-wildcard', 'server_names wildcard', ask('chains', { sni: 'a.b.lab.test' })),
    scenario('chain-case', 'The SNI is compared in lower case', ask('chains', { sni: 'LAB.test' })),
    scenario(
      'chain-alpn',
      'application_protocols',
      [ask('chains', { sni: 'h1.test', alpn: ['http/1.1'] }), ask('chains', { sni: 'h1.test', alpn: ['foo'] })],
      [],
      { logLines: 3 },
    ),
    scenario('chain-transport', 'transport_protocol', ask('chains', { sni: 'other.test' })),
    scenario('chain-none', 'No chain matches', ask('chains', { sni: 'nobody.test' }), [], {
      stats: ['^listener\\..*\\.no_filter_chain_match$'],
    }),
    scenario('chain-no-sni', 'No SNI', ask('chains', {})),
    scenario('chain-plaintext', 'Plaintext to chains for TLS', get('/', { listener: 'chains' })),
    scenario('upstream', 'A verified upstream', up('/ok'), ['TLS upstream ok']),
    scenario('upstream-h2', 'HTTP/2 over TLS upstream', up('/h2')),
    scenario('upstream-alpn', 'auto_config takes what ALPN says', up('/alpn')),
    scenario(
      'upstream-unknown-ca',
      'The certificate of the upstream is not trusted',
      up('/ver'),
      ['uf TLS certificate verify failed'],
      {
        stats: [
          '^cluster\\.tls_unknown_ca\\.(ssl\\.(fail_verify|connection_error|handshake)|upstream_cx_connect_fail)',
        ],
      },
    ),
    scenario('upstream-wrong-san', 'The SAN does not match', up('/san'), ['uf TLS SAN mismatch'], {
      stats: ['^cluster\\.tls_wrong_san\\.(ssl\\.(fail_verify|connection_error|handshake)|upstream_cx_connect_fail)'],
    }),
    scenario('upstream-right-san', 'The SAN matches', up('/sanok')),
    scenario('upstream-client-certificate', 'A client certificate for the upstream', up('/mtls')),
    scenario('upstream-client-certificate-missing', 'The upstream wants a certificate', up('/mtlsnone')),
    scenario('upstream-auto-sni', 'auto_sni and auto_san_validation', [
      up('/sni'),
      get('/sni', { listener: 'plain', host: 'wrong.example' }),
    ]),
    scenario('upstream-version', 'TLS 1.2 upstream', up('/v'), [], {
      stats: ['^cluster\\.tls_version\\.ssl\\.(versions|handshake)'],
    }),
  ],
}

import { parse as parseYaml } from 'yaml'

function h2Options(body = 'explicit_http_config: {http2_protocol_options: {}}'): object {
  const [, , message = ''] = H2_UPSTREAM.trim().split('\n')
  const type = message.trim().replace('"@type": ', '')
  const name = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  return { typed_extension_protocol_options: { [name]: { '@type': type, ...parseYaml(body) } } }
}

export default group

import { bootstrap, cluster, downstreamTls, fileLog, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, scenario, tcp } from '../scenario.ts'

/** PROXY headers of upstream connections, and what is kept of those of clients. */
const TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets'
const RAW = `{name: raw, typed_config: {"@type": ${TYPE}.raw_buffer.v3.RawBuffer}}`
const TLS = `{name: tls, typed_config: {"@type": ${TYPE}.tls.v3.UpstreamTlsContext, sni: lab.test}}`
const LISTENER_FILTER = 'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'
const telling = (config: string, inner = RAW) =>
  `transport_socket: {name: pp, typed_config: {"@type": ${TYPE}.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {${config}}, transport_socket: ${inner}}}`
const reads = (config = '') => ({ listener_filters: [typed('pp', LISTENER_FILTER, config)] })

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'
const word = (n: number) => String.fromCharCode(n >> 8, n & 255)
const tlv = (type: number, value: string) => String.fromCharCode(type) + word(value.length) + value
const LOCAL = 0x20
const PROXIED = 0x21
const body = (command: number, family: number, bytes: string) =>
  SIGNATURE + String.fromCharCode(command, family) + word(bytes.length) + bytes
/** From 1.2.3.4:1000 to 5.6.7.8:2000. */
const ADDRESSES = `\x01\x02\x03\x04\x05\x06\x07\x08${word(1000)}${word(2000)}`
const v2 = (...tlvs: string[]) => body(PROXIED, 0x11, ADDRESSES + tlvs.join(''))
const V1 = 'PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n'
const V6 = 'PROXY TCP6 2001:db8::1 2001:db8::2 1000 2000\r\n'
const MAPPED = `${'\0'.repeat(10)}\xff\xff\x01\x02\x03\x04`
const CUT = '\x01\0\x05abc'
const READ = ['^proxy_proto\\.versions', '^downstream_cx_proxy_proto_error$']
const sent = (name: string, ...bytes: string[]) =>
  tcp(name, [bytes.join(''), { bytes: 5 }, { end: true }, { closed: true }])

const FORMAT = [
  'remote=%DOWNSTREAM_REMOTE_ADDRESS% local=%DOWNSTREAM_LOCAL_ADDRESS%',
  'own=%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol)% other=%DYNAMIC_METADATA(other)%',
  'state=%FILTER_STATE(envoy.network.proxy_protocol.tlv)% field=%FILTER_STATE(envoy.network.proxy_protocol.tlv:FIELD:one)%',
  'up-tx=%UPSTREAM_WIRE_BYTES_SENT% flags=%RESPONSE_FLAGS% tfail=%UPSTREAM_TRANSPORT_FAILURE_REASON%\n',
].join(' ')
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const RULES =
  'rules: [{tlv_type: 224, on_tlv_present: {key: one}}, {tlv_type: 225, on_tlv_present: {key: two, metadata_namespace: other}}, {tlv_type: 226, on_tlv_present: {key: three, value_string_encoding: BASE64}}]'
const forward = (to: string) => `[{match: {prefix: /}, route: {cluster: ${to}}}]`
const http = (name: string, to: string, hcm = '', filter: object = {}) => ({
  ...httpListener(name, { routes: forward(to), hcm: `${LOG}\n${hcm}` }),
  ...filter,
})
const CERTIFICATE =
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]}'
const ADDED = (type: number, text: string) => `{type: ${type}, value: "${btoa(text)}"}`
const PASSED = 'pass_through_tlvs: {}'
/** With the configured ones it is a byte too long. */
const TOO_LONG = tlv(230, 'x'.repeat(65535 - 12 - 14 - 3 + 1))

/** Quoted, as some would be numbers. */
const hex = (text: string) => `"${Buffer.from(text, 'latin1').toString('hex')}"`
/** What is echoed is what was sent. */
const CHECKS = `health_checks: [{timeout: 1s, interval: 0.1s, healthy_threshold: 1, unhealthy_threshold: 1, tcp_health_check: {send: {text: ${hex('ping')}}, receive: [{text: ${hex(`${body(LOCAL, 0, '')}ping`)}}]}}]`

const group: Group = {
  name: 'proxy-header',
  upstreams: { echo: { kind: 'tcp' }, a: { kind: 'http1' } },
  config: bootstrap(
    [
      { ...tcpListener('v1', `cluster: v1\n${LOG}`), ...reads() },
      { ...tcpListener('v2', `cluster: v2\n${LOG}`), ...reads(`${PASSED}\n${RULES}`) },
      {
        ...tcpListener('some', `cluster: v2\n${LOG}`),
        ...reads(
          `pass_through_tlvs: {match_type: INCLUDE, tlv_type: [224, 226]}\n${RULES}\ntlv_location: FILTER_STATE`,
        ),
      },
      { ...tcpListener('few', `cluster: few\n${LOG}`), ...reads(PASSED) },
      { ...tcpListener('none', `cluster: v2\n${LOG}`), ...reads() },
      { ...tcpListener('added', `cluster: added\n${LOG}`), ...reads(PASSED) },
      http('outer', 'to_inner', '', reads(PASSED)),
      http('own', 'to_inner'),
      tcpListener('own_tcp', `cluster: to_inner\n${LOG}`),
      http('lenient', 'to_inner', '', reads('allow_requests_without_proxy_protocol: true')),
      http('untold', 'to_inner', 'add_proxy_protocol_connection_state: false'),
      http('untold_v1', 'to_inner_v1', 'add_proxy_protocol_connection_state: false'),
      http('tls', 'to_inner_tls', '', reads(PASSED)),
      http('inner', 'a', '', reads(RULES)),
      {
        ...httpListener('inner_tls', { routes: forward('a'), hcm: LOG, transport: downstreamTls(CERTIFICATE) }),
        ...reads(RULES),
      },
    ],
    [
      cluster('a', 'a'),
      cluster('v1', 'echo', telling('version: V1')),
      cluster('v2', 'echo', telling(`version: V2, ${PASSED}`)),
      cluster('few', 'echo', telling('version: V2, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [225]}')),
      cluster(
        'added',
        'echo',
        telling(`version: V2, ${PASSED}, added_tlvs: [${ADDED(224, 'own')}, ${ADDED(7, 'a')}, ${ADDED(7, 'b')}]`),
      ),
      cluster('checked', 'echo', `${telling('version: V2')}\n${CHECKS}`),
      cluster('to_inner', 'inner', telling(`version: V2, ${PASSED}`)),
      cluster('to_inner_v1', 'inner', telling('version: V1')),
      cluster('to_inner_tls', 'inner_tls', telling(`version: V2, ${PASSED}`, TLS)),
    ],
  ),
  scenarios: [
    scenario('v1-of-v1', 'Version 1 tells the addresses that the client told', sent('v1', V1, 'hello'), [], {
      logLines: 1,
      stats: ['^cluster\\.v1\\.(upstream_cx_tx_bytes_total|upstream\\.proxyprotocol)'],
    }),
    scenario('v1-of-v6', 'Version 1 of IPv6 addresses', sent('v1', V6, 'hello'), [], { logLines: 1 }),
    scenario('v1-of-v2', 'Version 1 has no TLVs', sent('v1', v2(tlv(224, 'one')), 'hello'), [], { logLines: 1 }),
    scenario('v2-of-v1', 'Version 2 of a version 1', sent('v2', V1, 'hello'), [], { logLines: 1 }),
    scenario('v2-of-v6', 'Version 2 of IPv6 addresses', sent('v2', V6, 'hello'), [], { logLines: 1 }),
    scenario(
      'v2-passes-all',
      'TLVs are passed on in order, twice of a type too, and the first of a type is kept as metadata',
      sent('v2', v2(tlv(226, '\xffA'), tlv(224, 'one'), tlv(226, 'x'), tlv(225, '\xffB'), tlv(7, '')), 'hello'),
      [],
      { logLines: 1 },
    ),
    scenario(
      'v2-keeps-some',
      'The listener keeps only some TLVs, and the last of a type as filter state',
      sent('some', v2(tlv(224, 'one'), tlv(227, 'x'), tlv(224, 'two')), 'hello'),
      [],
      { logLines: 1 },
    ),
    scenario('v2-tells-some', 'The cluster tells only some', sent('few', v2(tlv(226, 'x'), tlv(225, 'B')), 'hello')),
    scenario('v2-tells-none', 'A listener that keeps none', sent('none', v2(tlv(226, 'x')), 'hello')),
    scenario(
      'v2-adds',
      'Configured TLVs come first, and in the place of those that the client sent',
      sent('added', v2(tlv(7, 'client'), tlv(9, 'nine'), tlv(224, 'client')), 'hello'),
    ),
    scenario(
      'v2-too-long',
      'What does not fit is left out and counted',
      tcp('added', [v2(TOO_LONG, tlv(9, 'nine')), 'hello', { bytes: 54 }, { end: true }, { closed: true }]),
      [],
      { stats: ['^cluster\\.added\\.upstream\\.proxyprotocol'], logLines: 1 },
    ),
    scenario('tlv-cut', 'A TLV that is cut short ends the connection', tcp('v2', [v2(CUT), { closed: true }]), [], {
      log: false,
      stats: ['^proxy_proto\\.versions\\.v2'],
    }),
    scenario(
      'http-told',
      'An HTTP cluster tells what the client told; its connections are those of one client',
      [
        get('/one', { listener: 'outer', before: v2(tlv(224, 'one')) }),
        get('/two', { listener: 'outer', before: v2(tlv(224, 'one')) }),
        get('/three', { listener: 'outer', before: V6 }),
      ],
      [],
      { logLines: 6, stats: ['^cluster\\.to_inner\\.upstream_cx_total'] },
    ),
    scenario('http-own', 'It tells the addresses of the connection itself', get('/', { listener: 'own' }), [], {
      logLines: 2,
    }),
    scenario('http-untold', 'Or nothing', get('/', { listener: 'untold' }), [], { logLines: 2 }),
    scenario('http-untold-v1', 'Version 1 cannot tell nothing', get('/', { listener: 'untold_v1' }), [], {
      logLines: 2,
    }),
    scenario(
      'http-local',
      'A connection that the client says is its own: TLVs are of no interest, the addresses are those of the connection',
      [body(LOCAL, 0, tlv(224, 'one')), body(LOCAL, 0x11, ADDRESSES), body(LOCAL, 0, CUT), 'PROXY UNKNOWN\r\n'].map(
        before => get('/', { listener: 'outer', before }),
      ),
      [],
      { logLines: 8, stats: READ },
    ),
    scenario(
      'own-tcp',
      'A TCP connection without a header tells its own addresses, too',
      [get('/', { listener: 'own_tcp' }), get('/', { listener: 'lenient' })],
      [],
      { logLines: 4 },
    ),
    scenario(
      'accepted',
      'Datagrams, blanks at the end of a line, ports with zeros, IPv4 as IPv6, and IPv6 written in other ways',
      [
        body(PROXIED, 0x12, `\x01\x02\x03\x05${ADDRESSES.slice(4)}`),
        'PROXY TCP4 1.2.3.5 5.6.7.8 1001 2000 \r\n',
        'PROXY TCP4 1.2.3.5 5.6.7.8 0000001002 +2000\r\n',
        'PROXY TCP4 1.2.3.5 5.6.7.8 0 0\r\n',
        'PROXY TCP6 ::ffff:1.2.3.4 ::1 1000 2000\r\n',
        'PROXY TCP6 2001:0DB8:0:0::0001 ::ffff:102:304 1000 2000\r\n',
        body(PROXIED, 0x21, `${MAPPED}${MAPPED}${word(1000)}${word(2000)}`),
      ].map(before => get('/', { listener: 'outer', before })),
      [],
      { logLines: 14, stats: READ },
    ),
    scenario(
      'refused',
      'Other families than IP, addresses that no connection can have, and what is no header',
      [
        body(PROXIED, 0, ''),
        body(PROXIED, 0, tlv(224, 'one')),
        body(PROXIED, 0x31, '\0'.repeat(216)),
        body(PROXIED, 0x10, ADDRESSES),
        body(PROXIED, 0x11, 'short'),
        body(PROXIED, 0x11, `\0\0\0\0${ADDRESSES.slice(4)}`),
        body(PROXIED, 0x11, `\xe0\0\0\x01${ADDRESSES.slice(4)}`),
        body(0x22, 0x11, ADDRESSES),
        body(0x31, 0x11, ADDRESSES),
        'PROXY TCP4 255.255.255.255 5.6.7.8 1000 2000\r\n',
        'PROXY TCP4 1.2.3.4 224.0.0.1 1000 2000\r\n',
        'PROXY TCP4 0.0.0.0 5.6.7.8 1000 2000\r\n',
        'PROXY TCP4 01.2.3.4 5.6.7.8 1000 2000\r\n',
        'PROXY TCP4  1.2.3.4 5.6.7.8 1000 2000\r\n',
        'PROXY TCP4 1.2.3.4 5.6.7.8 65536 2000\r\n',
        'PROXY TCP6 :: ::1 1000 2000\r\n',
        'PROXY TCP6 ff02::1 ::1 1000 2000\r\n',
        'PROXY TCP6 1.2.3.4 ::1 1000 2000\r\n',
      ].map(before => get('/', { listener: 'outer', before })),
      [],
      { log: false, stats: READ },
    ),
    scenario(
      'health-check',
      "A health check's connection is the proxy's own",
      { kind: 'until', stat: 'cluster.checked.health_check.success', value: 1 },
      [],
      { upstream: false },
    ),
    scenario(
      'over-tls',
      'The header comes before the handshake',
      get('/', { listener: 'tls', before: v2(tlv(224, 'one')) }),
      [],
      { logLines: 2, stats: ['^cluster\\.to_inner_tls\\.ssl\\.handshake'] },
    ),
  ],
}

export default group

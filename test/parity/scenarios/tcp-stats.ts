import { bootstrap, cluster, downstreamTls, fileLog, httpListener, tcpListener } from '../configs/builder.ts'
import { type Group, get, scenario, tcp, together } from '../scenario.ts'

/** What the kernel knows of connections, as far as it is the same each time. */
const TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets'
const RAW = `{name: raw, typed_config: {"@type": ${TYPE}.raw_buffer.v3.RawBuffer}}`
const TLS = `{name: tls, typed_config: {"@type": ${TYPE}.tls.v3.UpstreamTlsContext, sni: lab.test}}`
const watching = (inner: string, more = '') =>
  `transport_socket: {name: tcp_stats, typed_config: {"@type": ${TYPE}.tcp_stats.v3.Config, transport_socket: ${inner}${more}}}`
const CERTIFICATE =
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]}'
const LOG = `access_log: [${JSON.stringify(fileLog('%RESPONSE_FLAGS%\n'))}]`

function watchedListener(name: string, to: string): object {
  const listener = tcpListener(name, `cluster: ${to}\n${LOG}`)
  const [chain] = listener['filter_chains'] as object[]
  return { ...listener, stat_prefix: name, filter_chains: [{ ...chain, ...parsed(watching(RAW)) }] }
}

function parsed(yaml: string): object {
  const { transport_socket } = cluster('x', [], yaml)
  return { transport_socket }
}

const group: Group = {
  name: 'tcp-stats',
  upstreams: { echo: { kind: 'tcp' }, a: { kind: 'http1' } },
  config: bootstrap(
    [
      watchedListener('watched', 'echo') as Record<string, unknown>,
      tcpListener('periodic', `cluster: periodic\n${LOG}`),
      httpListener('to_tls', { routes: '[{match: {prefix: /}, route: {cluster: over_tls}}]' }),
      httpListener('tls', {
        routes: '[{match: {prefix: /}, route: {cluster: a}}]',
        transport: downstreamTls(CERTIFICATE),
      }),
    ],
    [
      cluster('echo', 'echo', watching(RAW)),
      cluster('periodic', 'echo', watching(RAW, ', update_period: 0.05s')),
      cluster('over_tls', 'tls', watching(TLS)),
      cluster('a', 'a'),
    ],
  ),
  scenarios: [
    scenario(
      'counts',
      'Bytes and data segments of a connection are counted when it has ended, on both sides',
      [
        tcp('watched', ['hello', { bytes: 5 }, { end: true }, { closed: true }]),
        { kind: 'until', stat: 'listener.watched.tcp_stats.cx_rx_segments', value: 4 },
        { kind: 'until', stat: 'cluster.echo.tcp_stats.cx_rx_segments', value: 4 },
      ],
      [],
      {
        logLines: 1,
        stats: [
          '\\.tcp_stats\\.cx_(.x_data_segments|rx_bytes_received|tx_bytes_sent|tx_un.*|.*retransmitted_segments)$',
        ],
      },
    ),
    scenario(
      'periodic',
      'With update_period they are counted while it is open',
      // Nobody sees 5 where they are counted at the end only.
      together(
        tcp('periodic', [
          'hello',
          { bytes: 5 },
          { wait: 2000 },
          'again',
          { bytes: 10 },
          { end: true },
          { closed: true },
        ]),
        { kind: 'until', stat: 'cluster.periodic.tcp_stats.cx_tx_bytes_sent', value: 5, exact: true },
      ),
    ),
    scenario('tls', 'TLS goes through it', get('/', { listener: 'to_tls' }), [], {
      stats: ['^cluster\\.over_tls\\.ssl\\.handshake'],
    }),
  ],
}

export default group

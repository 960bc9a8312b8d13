import {
  address,
  bootstrap,
  cluster,
  downstreamTls,
  fileLog,
  httpListener,
  tcpListener,
  upstreamTls,
} from '../configs/builder.ts'
import { type Group, get, raw, requestBytes, type Step, scenario, type TlsClient, tcp, together } from '../scenario.ts'

/** Which points in time of connections and handshakes exist for whom, and which come before which: `-` or a number. */
const CERT =
  'tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]'
const TLS = downstreamTls(`common_tls_context: {${CERT}}`)
const ROUTES = (name: string) => `
- {match: {path: /direct}, direct_response: {status: 200}}
- {match: {path: /closed}, route: {cluster: closed}}
- {match: {path: /refused}, route: {cluster: refused}}
- {match: {prefix: /}, route: {cluster: ${name}}}
`
const SPANS = [
  'US_CX_BEG:US_CX_END',
  'US_CX_BEG:US_HS_END',
  'US_CX_END:US_HS_END',
  'US_CX_BEG:US_TX_BEG',
  'US_HS_END:US_TX_BEG',
  'US_HS_END:DS_TX_END',
  'DS_RX_BEG:US_CX_BEG',
  'DS_RX_BEG:US_CX_END',
  'DS_RX_BEG:US_HS_END',
  'DS_RX_BEG:DS_RX_END',
  'US_TX_BEG:US_TX_END',
  'US_RX_BEG:US_RX_END',
  'DS_TX_BEG:DS_TX_END',
]
const FORMAT = `${[
  '%REQ(:PATH)% downstream_handshake_ms=%DOWNSTREAM_HANDSHAKE_DURATION% pool_ms=%UPSTREAM_CONNECTION_POOL_READY_DURATION%',
  ...SPANS.map(span => `${span.toLowerCase().replace(':', '_to_')}_ms=%COMMON_DURATION(${span}:ms)%`),
].join(' ')}\n`
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const PLAIN: TlsClient = { sni: 'lab.test' }

/** The first attempt gets an answer that is not good enough, the second nobody who takes its connection. */
const RETRIED = ['/mended', '/waits/alone', '/waits', '/full', '/hedge/refused', '/hedge/waits', '/']
  .map(
    prefix => `
- match: {prefix: ${prefix}}
  route:
    cluster: twofold${prefix.replaceAll('/', '')}
    timeout: 0.4s
    ${prefix.startsWith('/hedge') ? 'hedge_policy: {hedge_on_per_try_timeout: true}' : ''}
    retry_policy:
      ${prefix.startsWith('/hedge') ? 'per_try_timeout: 0.1s' : ''}
      retry_on: 5xx
      num_retries: 1
      retry_back_off: {base_interval: 0.001s}
      retry_priority:
        name: envoy.retry_priorities.previous_priorities
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig
          update_frequency: 1
`,
  )
  .join('')
const RETRIED_FORMAT = [
  'attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% host=%UPSTREAM_HOST% tls=%UPSTREAM_TLS_VERSION%',
  'flags=%RESPONSE_FLAGS% tfail=%UPSTREAM_TRANSPORT_FAILURE_REASON% name=%UPSTREAM_HOST_NAME% meta=%UPSTREAM_METADATA(lab:k)%',
  'local=%UPSTREAM_LOCAL_ADDRESS% proto=%UPSTREAM_PROTOCOL% response_ms=%RESPONSE_DURATION% tx_ms=%REQUEST_TX_DURATION%',
  'rest_ms=%RESPONSE_TX_DURATION% pool_ms=%UPSTREAM_CONNECTION_POOL_READY_DURATION%',
  ...SPANS.map(span => `${span.toLowerCase().replace(':', '_to_')}_ms=%COMMON_DURATION(${span}:ms)%`),
].join(' ')

type Json = Record<string, unknown>

/** The first attempt goes to the first endpoint, the second to the other one. */
const twofold = (name: string, ...endpoints: string[]): Json => ({
  ...cluster(name, [], upstreamTls('sni: lab.test')),
  load_assignment: {
    cluster_name: name,
    endpoints: endpoints.map((endpoint, priority) => ({
      priority,
      lb_endpoints: [
        { endpoint: { address: address(endpoint) }, metadata: { filter_metadata: { lab: { k: endpoint } } } },
      ],
    })),
  },
})

function secured(listener: Json): Json {
  const [first] = listener['filter_chains'] as Json[]
  return { ...listener, filter_chains: [{ ...first, transport_socket: TLS }] }
}

const http = (name: string, to: string) => httpListener(name, { routes: ROUTES(to), hcm: LOG })
const retried = (name: string, format: string) =>
  httpListener(name, { routes: RETRIED, hcm: `access_log: [${JSON.stringify(fileLog(format))}]` })
const through = (name: string, to: string) => tcpListener(name, `cluster: ${to}\n${LOG}`)

/** The first request of a connection comes well after its handshake, the second on the same upstream connection. */
const twice = (listener: string, tls: TlsClient): Step =>
  raw([{ wait: 100 }, requestBytes('/first'), { wait: 150 }, requestBytes('/second')], {
    listener,
    tls,
    responses: 2,
    methods: ['GET', 'GET'],
  })
const late = (path: string, listener: string, tls: TlsClient): Step =>
  raw([{ wait: 100 }, requestBytes(path)], { listener, tls, responses: 1, methods: ['GET'] })
const ONE = { logLines: 1 }
const told = (name: string, to: string) =>
  tcpListener(
    name,
    `cluster: ${to}\nmax_connect_attempts: 2\naccess_log: [${JSON.stringify(fileLog(`id=%UPSTREAM_CONNECTION_ID% ${RETRIED_FORMAT}\n`))}]`,
  )

const group: Group = {
  name: 'durations',
  upstreams: {
    a: { kind: 'http1' },
    tls: { kind: 'http1', tls: { certificate: 'server', alpn: ['http/1.1'] } },
    echo: { kind: 'tcp' },
    deaf: { kind: 'tcp', script: 'silent' },
  },
  config: bootstrap(
    [
      http('plain', 'a'),
      secured(http('secure', 'tls')),
      through('tcp', 'a'),
      secured(through('tcpsecure', 'tls')),
      secured(through('tcpinbound', 'echo')),
      through('tcpclosed', 'closed'),
      retried('retried', `${RETRIED_FORMAT}\n`),
      told('toldclosed', 'unreachable'),
      // Without a connection the id is the same each time.
      retried('unconnected', `id=%UPSTREAM_CONNECTION_ID% ${RETRIED_FORMAT}\n`),
    ],
    [
      cluster('a', 'a'),
      cluster('tls', 'tls', upstreamTls('sni: lab.test')),
      cluster(
        'refused',
        'tls',
        upstreamTls(
          'sni: lab.test\ncommon_tls_context: {validation_context: {trusted_ca: {filename: $cert(other.pem)}}}',
        ),
      ),
      twofold('twofold', 'tls', 'nobody'),
      twofold('unreachable', 'nobody'),
      twofold('twofoldmended', 'echo', 'tls'),
      twofold('twofoldwaits', 'tls', 'deaf'),
      twofold('twofoldwaitsalone', 'deaf', 'tls'),
      twofold('twofoldhedgerefused', 'tls', 'nobody'),
      twofold('twofoldhedgewaits', 'tls', 'deaf'),
      { ...twofold('twofoldfull', 'tls', 'deaf'), circuit_breakers: { thresholds: [{ max_pending_requests: 1 }] } },
      cluster('echo', 'echo'),
      cluster('closed', 'nobody'),
    ],
  ),
  scenarios: [
    scenario('http-plain', 'Without TLS; the second request finds the connection older than itself', [
      get('/first', { listener: 'plain', up: 'delay:50,ok' }),
      { kind: 'wait', ms: 100 },
      get('/second', { listener: 'plain', up: 'delay:50,ok' }),
    ]),
    scenario('http-tls', 'TLS on both sides', twice('secure', PLAIN), [], { logLines: 2 }),
    scenario('http-closed', 'An attempt that is refused has waited for the pool, but has no connection', [
      get('/closed', { listener: 'plain' }),
    ]),
    scenario(
      'http-refused',
      "An upstream whose certificate is no good has no times, either; the client's handshake stays",
      late('/refused', 'secure', PLAIN),
    ),
    scenario('http-direct', 'A direct response after a handshake', late('/direct', 'secure', PLAIN)),
    scenario(
      'http-retried',
      'What an attempt found out about its upstream is forgotten when the next begins',
      get('/', { listener: 'unconnected', up: 'status:503' }),
    ),
    scenario('http-mended', 'Why an attempt failed is forgotten, too', get('/mended', { listener: 'retried' }), [], {
      upstream: false,
    }),
    scenario(
      'http-waits',
      'An attempt that waits for its connection is told of with its host',
      [
        raw([requestBytes('/waits/alone', { headers: ['x-up: ok'] }), { wait: 100 }, { end: true }], {
          listener: 'unconnected',
          responses: 0,
          methods: [],
        }),
        get('/waits', { listener: 'unconnected', up: 'status:503' }),
        raw([requestBytes('/waits', { headers: ['x-up: status:503'] }), { wait: 100 }, { end: true }], {
          listener: 'unconnected',
          responses: 0,
          methods: [],
        }),
      ],
      [],
      { upstream: false, logLines: 3 },
    ),
    scenario(
      'http-hedged',
      'Of a hedge that comes to nothing the log says nothing when the first attempt answers',
      [
        get('/hedge/refused', { listener: 'retried', up: 'delay:200,ok' }),
        get('/hedge/waits', { listener: 'retried', up: 'delay:200,ok' }),
      ],
      [],
      { upstream: false },
    ),
    scenario(
      'http-full',
      'An attempt that nobody waits for has no host',
      [
        get('/full', { listener: 'retried' }),
        together(get('/full', { listener: 'retried', up: 'status:503' }), [
          100,
          get('/full', { listener: 'retried', up: 'status:503' }),
        ]),
      ],
      [],
      { upstream: false, unordered: true },
    ),
    scenario(
      'tcp-plain',
      'tcp_proxy takes no times of bytes',
      tcp('tcp', [requestBytes('/'), { wait: 200 }, { end: true }]),
      [],
      ONE,
    ),
    scenario(
      'tcp-tls',
      'tcp_proxy with TLS on both sides',
      tcp('tcpsecure', [{ wait: 100 }, requestBytes('/'), { wait: 200 }, { end: true }], { tls: PLAIN }),
      [],
      ONE,
    ),
    scenario(
      'tcp-inbound',
      "The client's handshake counts as the upstream's for tcp_proxy",
      tcp('tcpinbound', [{ wait: 100 }, 'hi', { wait: 200 }, { end: true }], { tls: PLAIN }),
      [],
      ONE,
    ),
    scenario(
      'tcp-told',
      'A host that refuses tcp_proxy is told of with its metadata',
      tcp('toldclosed', [{ closed: true }]),
      [],
      ONE,
    ),
    scenario('tcp-closed', 'tcp_proxy and an upstream that refuses', tcp('tcpclosed', [{ closed: true }]), [], ONE),
  ],
}

export default group

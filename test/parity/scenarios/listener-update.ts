import { address, cluster, H2_UPSTREAM, hcm, tcpListener } from '../configs/builder.ts'
import { fields, type Group, raw, requestBytes, type Step, scenario, tcp, together } from '../scenario.ts'

/**
 * Updates of a listener by LDS: which connections stay, which are asked to go, and which are closed when the drain time of 1 s is
 * over. Each scenario has a listener of its own, and changes it once; a file has what the scenarios before it changed, too.
 */
type Json = Record<string, unknown>

const body = (text: string): string =>
  `[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${text}}}}]`

/** A connection manager that answers with `text`. */
const answers = (stat: string, text: string, protocol: string): Json => ({
  name: `${stat}-chain`,
  filter_chain_match: { application_protocols: [protocol] },
  filters: [hcm(stat, { routes: body(text) })],
})

interface Variant {
  readonly http1?: string
  readonly http2?: string
  /** stat_prefix of the default chain's tcp_proxy. */
  readonly tcp?: string
  readonly more?: Json
}

/** HTTP/1, HTTP/2 and anything else on a filter chain each. */
function listener(name: string, { http1 = 'one', http2 = 'one', tcp: proxy = `${name}_t`, more = {} }: Variant): Json {
  const inspector = { '@type': 'type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector' }
  const chains = tcpListener(proxy, 'cluster: echo')['filter_chains'] as Json[]
  return {
    '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener',
    name,
    address: address(name),
    listener_filters: [{ name: 'inspector', typed_config: inspector }],
    filter_chains: [answers(`${name}_h1`, http1, 'http/1.1'), answers(`${name}_h2`, http2, 'h2c')],
    default_filter_chain: chains[0],
    ...more,
  }
}

const NAMES = ['keep', 'change', 'field', 'fallback', 'order', 'wait']
let version = 1

/** All listeners, of which one is as `variant` says; an update of a file has them all. */
const current = new Map<string, Variant>(NAMES.map(name => [name, {}]))
function lds(): object {
  return {
    version_info: String(version++),
    resources: [...current].map(([name, variant]) => listener(name, variant)),
  }
}
function update(name: string, variant: Variant): Step {
  current.set(name, variant)
  return { kind: 'file', name: 'lds.json', content: lds() }
}

/** A connection manager whose routes never come. */
function waits(): Json {
  const { name, typed_config } = hcm('wait_h1', {})
  const { route_config: _, ...rest } = typed_config as Json
  const grpc = { api_type: 'GRPC', grpc_services: [{ envoy_grpc: { cluster_name: 'silent' } }] }
  const source = {
    api_config_source: { ...grpc, transport_api_version: 'V3' },
    resource_api_version: 'V3',
    initial_fetch_timeout: '0s',
  }
  const config = { ...rest, rds: { route_config_name: 'nowhere', config_source: source } }
  return { name: 'waits', filters: [{ name, typed_config: config }] }
}

const GET = requestBytes('/')
const first = lds()
const http1 = (name: string, wait: number, responses = 2): Step =>
  raw([GET, { responses: 1 }, { wait }, GET], { listener: name, responses, methods: ['GET', 'GET'] })
const http2 = (name: string): Step => ({ kind: 'h2', listener: name, streams: [{ fields: fields('/') }] })
/** Stays until the proxy closes. */
const idle = (name: string): Step =>
  raw([GET, { responses: 1 }, { closed: true }], { listener: name, methods: ['GET'] })
const echo = (name: string): Step =>
  tcp(name, ['hello\n', { bytes: 6 }, { wait: 600 }, 'again\n', { bytes: 12 }, { end: true }, { closed: true }])
const echoUntilClosed = (name: string): Step =>
  tcp(name, ['hello\n', { bytes: 6 }, { wait: 600 }, 'again\n', { bytes: 12 }, { closed: true }])

const compare = (name: string, tcpStats = `^tcp\\.${name}_t.*\\.downstream_cx_total$`) => ({
  stats: [
    '^listener_manager\\.(listener_(added|modified|in_place_updated|removed|create_success)|total_)',
    `^http\\.${name}_h[12]\\.downstream_cx_(total|active|destroy|destroy_local|destroy_remote|drain_close)$`,
    tcpStats,
  ],
  unordered: true,
})

const during: Step = {
  kind: 'admin',
  method: 'GET',
  path: '/stats?filter=listener_manager.total_.*_draining',
}

const group: Group = {
  name: 'listener-update',
  upstreams: { echo: { kind: 'tcp' }, silent: { kind: 'tcp', script: 'silent' } },
  args: ['--drain-time-s', '1', '--drain-strategy', 'immediate'],
  files: { 'lds.json': first },
  config: {
    node: { id: 'parity', cluster: 'parity-cluster' },
    admin: { address: address('admin') },
    dynamic_resources: {
      lds_config: { path_config_source: { path: '$tmp/lds.json', watched_directory: { path: '$tmp' } } },
    },
    static_resources: { clusters: [cluster('echo', 'echo'), cluster('silent', 'silent', H2_UPSTREAM)] },
  },
  scenarios: [
    scenario(
      'kept-chain',
      'Connections on filter chains that an update leaves as they are go on; an added chain drains nobody',
      [
        together(
          http1('keep', 600),
          echo('keep'),
          [200, update('keep', { http2: 'two', tcp: 'keep_t' })],
          [400, during],
        ),
        http2('keep'),
        { kind: 'until', stat: 'listener_manager.total_filter_chains_draining', value: 0, exact: true },
      ],
      [],
      compare('keep'),
    ),
    scenario(
      'changed-chain',
      'Responses on a changed filter chain ask the client to go; what is idle is closed after the drain time',
      [
        together(
          http1('change', 600),
          idle('change'),
          echo('change'),
          [200, update('change', { http1: 'two' })],
          [400, during],
        ),
        raw([GET], { listener: 'change', methods: ['GET'] }),
        { kind: 'until', stat: 'listener_manager.total_filter_chains_draining', value: 0, exact: true },
      ],
      [],
      compare('change'),
    ),
    scenario(
      'changed-field',
      'An update of anything but filter chains replaces the listener: all its connections drain',
      [
        together(
          http1('field', 600),
          idle('field'),
          echoUntilClosed('field'),
          [200, update('field', { more: { listener_filters_timeout: '9s' } })],
          [400, during],
        ),
        { kind: 'until', stat: 'listener_manager.total_listeners_draining', value: 0, exact: true },
      ],
      [],
      compare('field'),
    ),
    scenario(
      'changed-default-chain',
      'The default filter chain drains like any other, and the others go on',
      [
        together(
          http1('fallback', 600),
          echoUntilClosed('fallback'),
          [200, update('fallback', { tcp: 'fallback_t2' })],
          [400, during],
        ),
        { kind: 'until', stat: 'listener_manager.total_filter_chains_draining', value: 0, exact: true },
      ],
      [],
      // Names of filters that are gone stay here until the end of the process.
      compare('fallback', '^tcp\\.fallback_t2\\.'),
    ),
    scenario(
      'unset-and-default',
      'A field set to its default is no change: the update is one in place, and nothing drains',
      [together(http1('order', 600), [200, update('order', { more: { use_original_dst: false } })], [400, during])],
      [],
      compare('order'),
    ),
    scenario(
      'warming-reverted',
      'What is active already comes again while another version warms: that one is dropped',
      [
        update('wait', { more: { filter_chains: [waits()] } }),
        { kind: 'until', stat: 'listener_manager.total_listeners_warming', value: 1, exact: true },
        raw([GET], { listener: 'wait', methods: ['GET'] }),
        update('wait', {}),
        { kind: 'until', stat: 'listener_manager.total_listeners_warming', value: 0, exact: true },
        raw([GET], { listener: 'wait', methods: ['GET'] }),
      ],
      [],
      { ...compare('wait'), upstream: false },
    ),
  ],
}

export default group

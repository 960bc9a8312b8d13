import { bootstrap, cluster, fileLog, tcpListener, typed } from '../configs/builder.ts'
import { type Group, scenario, tcp } from '../scenario.ts'

/** filter_chain_matcher: a tree over the facts of a connection names the filter chain. */
type Json = Record<string, unknown>
const NETWORK = 'envoy.extensions.matching.common_inputs.network.v3'
const TYPE = 'type.googleapis.com/'
const input = (name: string, more: Json = {}) => ({
  name,
  typed_config: { '@type': `${TYPE}${NETWORK}.${name}`, ...more },
})
const to = (name: string) => ({
  action: { name, typed_config: { '@type': `${TYPE}google.protobuf.StringValue`, value: name } },
})
const nested = (matcher: Json) => ({ matcher })
const exact = (name: string, map: Json, otherwise?: Json, more: Json = {}) => ({
  matcher_tree: { input: input(name, more), exact_match_map: { map } },
  ...(otherwise === undefined ? {} : { on_no_match: otherwise }),
})
const prefix = (name: string, map: Json) => ({ matcher_tree: { input: input(name), prefix_match_map: { map } } })
const range = (prefix: string, length: number, match: Json, exclusive = false) => ({
  ranges: [{ address_prefix: prefix, prefix_len: length }],
  on_match: match,
  exclusive,
})
const byIp = (name: string, ranges: Json[], otherwise?: Json) => ({
  matcher_tree: {
    input: input(name),
    custom_match: {
      name: 'ip',
      typed_config: { '@type': `${TYPE}xds.type.matcher.v3.IPMatcher`, range_matchers: ranges },
    },
  },
  ...(otherwise === undefined ? {} : { on_no_match: otherwise }),
})
const when = (name: string, match: Json) => ({ single_predicate: { input: input(name), value_match: match } })

function chain(name: string): Json {
  return { name, filters: [typed('echo', 'envoy.extensions.filters.network.echo.v3.Echo')] }
}

const STATE = 'envoy.extensions.filters.network.set_filter_state.v3.Config'
const SHARED = (key: string, factory: string, text: string) =>
  `{object_key: ${key}, factory_key: ${factory}, shared_with_upstream: ONCE, format_string: {text_format_source: {inline_string: "${text}"}}}`
const LOCAL = 'envoy.filters.listener.original_dst.local_ip'
const REMOTE = 'envoy.filters.listener.original_dst.remote_ip'

/** A connection to `listener` that seems to be between these. */
function entry(name: string, listener: string, local: string, remote = '10.9.9.9:999'): Json {
  const state = typed(
    's',
    STATE,
    `on_new_connection: [${SHARED(LOCAL, LOCAL, local)}, ${SHARED(REMOTE, REMOTE, remote)}, ${SHARED('kind', 'envoy.string', name)}]`,
  )
  return tcpListener(name, `cluster: ${listener}`, '', [state])
}

function internal(name: string, matcher: Json, chains: string[], fallback = true): Json {
  return {
    name,
    internal_listener: {},
    listener_filters: [
      typed('envoy.filters.listener.original_dst', 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst'),
    ],
    filter_chain_matcher: matcher,
    filter_chains: chains.map(chain),
    ...(fallback ? { default_filter_chain: chain('default') } : {}),
    access_log: [fileLog(`${name} chain=%FILTER_CHAIN_NAME% details=%RESPONSE_CODE_DETAILS% flags=%RESPONSE_FLAGS%\n`)],
  }
}

function toInternal(name: string): Json {
  const endpoint = { address: { envoy_internal_address: { server_listener_name: name } } }
  const raw = typed('raw', 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer')
  const transport_socket = typed(
    'internal',
    'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport',
    { transport_socket: raw },
  )
  const load_assignment = { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] }
  return { ...cluster(name, []), load_assignment, transport_socket }
}

const PORTS = exact('DestinationPortInput', { '80': to('web'), '81': to('missing') })
const LISTENERS: Readonly<Record<string, readonly [Json, string[], boolean?]>> = {
  ranges: [
    byIp('DestinationIPInput', [
      range('10.0.0.0', 8, to('ten')),
      range('10.1.0.0', 16, nested(PORTS)),
      range('10.2.0.0', 16, nested(PORTS), true),
      range('10.0.0.0', 4, to('wide')),
      range('10.2.2.0', 24, nested(exact('DestinationPortInput', { '90': to('web') }))),
    ]),
    ['ten', 'web', 'wide'],
  ],
  fallbacks: [
    exact(
      'DestinationPortInput',
      {
        '80': nested(exact('SourcePortInput', { '999': to('web') })),
        '82': nested(exact('SourcePortInput', { '1': to('web') }, to('inner'))),
        '83': nested(exact('SourcePortInput', { '1': to('web') })),
      },
      to('outer'),
    ),
    ['web', 'inner', 'outer'],
  ],
  strict: [exact('DestinationPortInput', { '80': to('web') }), ['web'], false],
  lists: [
    {
      matcher_list: {
        matchers: [
          {
            predicate: {
              and_matcher: {
                predicate: [when('DestinationPortInput', { exact: '80' }), when('SourceIPInput', { prefix: '10.9.' })],
              },
            },
            on_match: nested(exact('SourcePortInput', { '1': to('never') })),
          },
          {
            predicate: {
              or_matcher: {
                predicate: [
                  when('DestinationPortInput', { exact: '80' }),
                  when('DestinationPortInput', { suffix: '1' }),
                ],
              },
            },
            on_match: to('either'),
          },
          {
            predicate: {
              not_matcher: when('DestinationIPInput', { safe_regex: { google_re2: {}, regex: '10\\..*' } }),
            },
            on_match: to('not'),
          },
        ],
      },
      on_no_match: to('rest'),
    },
    ['never', 'either', 'not', 'rest'],
  ],
  prefixes: [
    prefix('SourceIPInput', { '10.': to('short'), '10.9.': nested(exact('SourcePortInput', { '1': to('long') })) }),
    ['short', 'long'],
  ],
  facts: [
    exact(
      'FilterStateInput',
      { fact_state: to('state'), fact_source: nested(exact('SourceTypeInput', { local: to('local') })) },
      to('rest'),
      { key: 'kind' },
    ),
    ['state', 'local', 'rest'],
  ],
}

const ENTRIES: Readonly<Record<string, readonly [listener: string, local: string, remote?: string]>> = {
  range_wide: ['ranges', '11.0.0.1:80'],
  range_ten: ['ranges', '10.3.0.1:80'],
  range_web: ['ranges', '10.1.0.1:80'],
  range_backtracks: ['ranges', '10.1.0.1:99'],
  range_exclusive: ['ranges', '10.2.0.1:99'],
  range_exclusive_skipped: ['ranges', '10.2.2.1:80'],
  range_missing_chain: ['ranges', '10.1.0.1:81'],
  range_nothing: ['ranges', '192.0.2.1:80'],
  range_ipv6: ['ranges', '[fd00::1]:80'],
  nested_match: ['fallbacks', '10.0.0.1:80'],
  nested_otherwise: ['fallbacks', '10.0.0.1:82'],
  nested_nothing: ['fallbacks', '10.0.0.1:83'],
  outer_otherwise: ['fallbacks', '10.0.0.1:84'],
  strict_nothing: ['strict', '10.0.0.1:84'],
  list_goes_on: ['lists', '10.0.0.1:80'],
  list_or: ['lists', '10.0.0.1:91'],
  list_not: ['lists', '11.0.0.1:84'],
  list_rest: ['lists', '10.0.0.1:84'],
  prefix_long: ['prefixes', '10.0.0.1:80', '10.9.9.9:1'],
  prefix_short: ['prefixes', '10.0.0.1:80', '10.9.9.9:2'],
  prefix_nothing: ['prefixes', '10.0.0.1:80', '11.9.9.9:2'],
  fact_state: ['facts', '10.0.0.1:80'],
  fact_source: ['facts', '10.0.0.1:80', '10.0.0.1:5'],
  fact_rest: ['facts', '10.0.0.1:80'],
}

const group: Group = {
  name: 'chain-matcher',
  upstreams: {},
  config: bootstrap(
    [
      ...Object.entries(LISTENERS).map(([name, [matcher, chains, fallback]]) =>
        internal(name, matcher, chains, fallback),
      ),
      ...Object.entries(ENTRIES).map(([name, [listener, local, remote]]) => entry(name, listener, local, remote)),
    ],
    Object.keys(LISTENERS).map(toInternal),
    `bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config: {"@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener}`,
  ),
  scenarios: Object.keys(ENTRIES).map(name => {
    // Who writes while the proxy refuses sees a reset or an end, by luck.
    const refused = name === 'range_missing_chain' || name === 'strict_nothing'
    const actions = refused
      ? [{ closed: true } as const]
      : ['x', { bytes: 1 }, { end: true } as const, { closed: true } as const]
    return scenario(name.replaceAll('_', '-'), name.replaceAll('_', ' '), tcp(name, actions), [], {
      logLines: 2,
      unordered: true,
    })
  }),
}

export default group

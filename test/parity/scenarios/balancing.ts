import { address, bootstrap, cluster, httpListener } from '../configs/builder.ts'
import { type Group, get, type Scenario, type Step, scenario } from '../scenario.ts'

/** Which endpoint is taken: policies, hashes, subsets, priorities, health checks, ejection. */
const HOSTS = ['a', 'b', 'c']
/** Endpoints with a fixed hash key: otherwise rings would depend on port numbers. */
const keyed = (names: readonly string[]) =>
  names.map((name, index) => ({
    endpoint: { address: address(name) },
    load_balancing_weight: index + 1,
    metadata: {
      filter_metadata: {
        'envoy.lb': { hash_key: `host-${name}`, version: `v${index + 1}`, stage: index === 2 ? 'canary' : 'prod' },
      },
    },
  }))
const over = (name: string, extra: string, endpoints: object[] = [{ lb_endpoints: keyed(HOSTS) }]) => ({
  ...cluster(name, [], extra),
  load_assignment: { cluster_name: name, endpoints },
})
const plain = (names: readonly string[]) => names.map(name => ({ endpoint: { address: address(name) } }))
const CHECK =
  'health_checks: [{timeout: 0.2s, interval: 0.05s, no_traffic_interval: 0.05s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /healthz}}]'
const hashRoute = (prefix: string, to: string, policy: string) =>
  `- {match: {prefix: ${prefix}}, route: {cluster: ${to}, hash_policy: [${policy}]}}`
const HEADER = '{header: {header_name: x-key}}'
const ROUTES = `
${hashRoute('/ring', 'ring', HEADER)}
${hashRoute('/murmur', 'ring_murmur', HEADER)}
${hashRoute('/maglev', 'maglev', HEADER)}
${hashRoute('/query', 'ring', '{query_parameter: {name: q}}')}
${hashRoute('/cookie', 'ring', '{cookie: {name: sid}}')}
${hashRoute('/newcookie', 'ring', '{cookie: {name: sid, ttl: 60s, path: /p}}')}
${hashRoute('/both', 'ring', '{header: {header_name: x-key}}, {header: {header_name: x-key2}}')}
${hashRoute('/terminal', 'ring', '{header: {header_name: x-key}, terminal: true}, {header: {header_name: x-key2}}')}
${hashRoute('/rewrite', 'ring', '{header: {header_name: x-key, regex_rewrite: {pattern: {regex: "-.*"}, substitution: ""}}}')}
${hashRoute('/source', 'ring', '{connection_properties: {source_ip: true}}')}
- {match: {prefix: /rr}, route: {cluster: rr}}
- {match: {prefix: /wrr}, route: {cluster: wrr}}
- {match: {prefix: /prio}, route: {cluster: prio}}
- {match: {prefix: /failover}, route: {cluster: failover}}
- {match: {prefix: /sick}, route: {cluster: sick}}
- {match: {prefix: /panic}, route: {cluster: panic}}
- {match: {prefix: /half}, route: {cluster: half_sick}}
- {match: {prefix: /eject}, route: {cluster: eject}}
- {match: {prefix: /gateway}, route: {cluster: eject_gateway}}
- {match: {prefix: /draining}, route: {cluster: draining}}
- {match: {prefix: /degraded}, route: {cluster: degraded}}
- {match: {prefix: /immediate}, route: {cluster: immediate}}
- {match: {prefix: /override}, route: {cluster: rr}}
`
const keys = (path: string, values: readonly string[], header = 'x-key'): Step[] =>
  values.map(value => get(path, { headers: [`${header}: ${value}`] }))
const VALUES = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta']
const tally = (path: string, times: number, of: 'upstream' | 'status' = 'upstream', up?: string): Step => ({
  kind: 'tally',
  times,
  of,
  step: get(path, { linger: 1, ...(up === undefined ? {} : { up }) }),
})
const picks = (name: string, doc: string, steps: Step[], compare: Scenario['compare'] = {}): Scenario =>
  scenario(name, doc, steps, [], compare)
const counted = { upstream: false, log: false }
const until = (stat: string, value: number): Step => ({ kind: 'until', stat, value, exact: true })

const group: Group = {
  name: 'balancing',
  upstreams: {
    a: { kind: 'http1' },
    b: { kind: 'http1' },
    c: { kind: 'http1' },
    sick1: { kind: 'http1', health: 'status:503' },
    sick2: { kind: 'http1', health: 'status:503' },
    immediate: { kind: 'http1' },
  },
  config: bootstrap(
    [
      httpListener('main', { routes: ROUTES }),
      httpListener('subset', {
        routes: `
- {match: {prefix: /subset-v2}, route: {cluster: subset, metadata_match: {filter_metadata: {envoy.lb: {version: v2}}}}}
- {match: {prefix: /subset-canary}, route: {cluster: subset, metadata_match: {filter_metadata: {envoy.lb: {stage: canary}}}}}
- {match: {prefix: /subset-none}, route: {cluster: subset, metadata_match: {filter_metadata: {envoy.lb: {version: v9}}}}}
- {match: {prefix: /subset-default}, route: {cluster: subset}}
`,
      }),
    ],
    [
      over('ring', 'lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 64}'),
      over(
        'ring_murmur',
        'lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 128, hash_function: MURMUR_HASH_2}',
      ),
      over('maglev', 'lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 251}'),
      over('rr', '', [{ lb_endpoints: plain(HOSTS) }]),
      over('wrr', ''),
      over(
        'subset',
        'lb_subset_config: {fallback_policy: DEFAULT_SUBSET, default_subset: {stage: canary}, subset_selectors: [{keys: [version]}, {keys: [stage], fallback_policy: NO_FALLBACK}]}',
      ),
      over('prio', '', [{ lb_endpoints: plain(['a']) }, { priority: 1, lb_endpoints: plain(['b']) }]),
      over('failover', `common_lb_config: {healthy_panic_threshold: {value: 0}}\n${CHECK}`, [
        { lb_endpoints: plain(['sick1']) },
        { priority: 1, lb_endpoints: plain(['b']) },
      ]),
      over('sick', `common_lb_config: {healthy_panic_threshold: {value: 0}}\n${CHECK}`, [
        { lb_endpoints: plain(['sick1', 'sick2']) },
      ]),
      over('panic', CHECK, [{ lb_endpoints: plain(['sick1', 'sick2']) }]),
      over('half_sick', CHECK, [{ lb_endpoints: plain(['a', 'sick1']) }]),
      over(
        'eject',
        'outlier_detection: {consecutive_5xx: 3, interval: 3600s, base_ejection_time: 3600s, max_ejection_percent: 100}\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}',
        [{ lb_endpoints: plain(['a']) }],
      ),
      over(
        'eject_gateway',
        'outlier_detection: {consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100, enforcing_consecutive_5xx: 0, interval: 3600s, base_ejection_time: 3600s, max_ejection_percent: 100}\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}',
        [{ lb_endpoints: plain(['b']) }],
      ),
      over('draining', '', [
        {
          lb_endpoints: [
            ...plain(['a']),
            { endpoint: { address: address('b') }, health_status: 'DRAINING' },
            { endpoint: { address: address('c') }, health_status: 'UNHEALTHY' },
          ],
        },
      ]),
      over('degraded', '', [
        // Four of five healthy: with the overprovisioning factor of 1.4 nothing spills over by chance.
        {
          lb_endpoints: [
            ...plain(['a', 'c', 'sick1', 'sick2']),
            { endpoint: { address: address('b') }, health_status: 'DEGRADED' },
          ],
        },
      ]),
      over(
        'immediate',
        `common_lb_config: {healthy_panic_threshold: {value: 0}}\nhealth_checks: [{timeout: 1s, interval: 60s, no_traffic_interval: 60s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /healthz}}]`,
        [{ lb_endpoints: plain(['immediate']) }],
      ),
    ],
  ),
  scenarios: [
    picks('ring-hash', 'Ring hash by a header: the same endpoint for every key', keys('/ring', VALUES)),
    picks('ring-hash-murmur', 'Ring hash with MURMUR_HASH_2', keys('/murmur', VALUES)),
    picks('maglev', 'Maglev by a header', keys('/maglev', VALUES)),
    picks(
      'hash-query',
      'Hash of a query parameter',
      ['x', 'y', 'z'].map(value => get(`/query?q=${value}`)),
    ),
    picks('hash-cookie', 'Hash of a cookie', keys('/cookie', ['sid=one', 'sid=two', 'sid=three'], 'cookie')),
    picks(
      'hash-combined',
      'Two hashes are combined',
      ['1', '2', '3'].map(n => get('/both', { headers: [`x-key: ${n}`, 'x-key2: b'] })),
    ),
    picks(
      'hash-terminal',
      'A terminal hash ends the list',
      ['1', '2', '3'].map(n => get('/terminal', { headers: [`x-key: a`, `x-key2: ${n}`] })),
    ),
    picks(
      'hash-regex',
      'A rewritten header value',
      ['a-1', 'a-2', 'b-1'].map(n => get('/rewrite', { headers: [`x-key: ${n}`] })),
    ),
    picks('hash-source', 'Hash of the source address', [get('/source'), get('/source')]),
    picks('hash-header-twice', 'Repeated headers are hashed together', [
      get('/ring', { headers: ['x-key: a', 'x-key: b'] }),
      get('/ring', { headers: ['x-key: b', 'x-key: a'] }),
    ]),
    picks('round-robin', 'Round robin takes all hosts equally', [tally('/rr', 9)], counted),
    picks('weighted-round-robin', 'Round robin by weight 1:2:3', [tally('/wrr', 12)], counted),
    picks('subset', 'A subset by metadata', [
      get('/subset-v2', { listener: 'subset' }),
      get('/subset-canary', { listener: 'subset' }),
      get('/subset-none', { listener: 'subset' }),
      get('/subset-default', { listener: 'subset' }),
    ]),
    picks('priority', 'Priority 0 takes everything while healthy', [tally('/prio', 4)], counted),
    picks(
      'failover',
      'Priority 1 when priority 0 fails its health check',
      [until('cluster.failover.membership_healthy', 1), tally('/failover', 4)],
      counted,
    ),
    scenario(
      'unhealthy',
      'All hosts fail their health check, no panic',
      [until('cluster.sick.membership_healthy', 0), get('/sick')],
      ['uh all failed health checks, panic 0'],
      {
        stats: [
          '^cluster\\.sick\\.(membership|upstream_cx_none_healthy|lb_healthy_panic|health_check\\.(healthy|degraded))',
        ],
      },
    ),
    picks(
      'panic',
      'In panic all hosts are used',
      [until('cluster.panic.membership_healthy', 0), tally('/panic', 4)],
      counted,
    ),
    picks(
      'half-unhealthy',
      'Only the healthy host is used',
      [until('cluster.half_sick.membership_healthy', 1), tally('/half', 4)],
      counted,
    ),
    picks(
      'ejection-5xx',
      'Three 5xx in a row eject the host',
      [...Array.from({ length: 3 }, () => get('/eject', { up: 'status:500' })), get('/eject')],
      { stats: ['^cluster\\.eject\\.(outlier_detection|membership)'] },
    ),
    picks(
      'ejection-gateway',
      'Two gateway failures eject the host',
      [
        get('/gateway', { up: 'status:500' }),
        get('/gateway', { up: 'status:503' }),
        get('/gateway', { up: 'status:502' }),
        get('/gateway'),
      ],
      { stats: ['^cluster\\.eject_gateway\\.(outlier_detection|membership)'] },
    ),
    picks('eds-health', 'DRAINING and UNHEALTHY hosts are not used', [tally('/draining', 4)], {
      ...counted,
      stats: ['^cluster\\.draining\\.membership'],
    }),
    picks('degraded', 'A degraded host waits', [tally('/degraded', 8)], {
      ...counted,
      stats: ['^cluster\\.degraded\\.membership'],
    }),
    picks(
      'immediate-fail',
      'x-envoy-immediate-health-check-fail takes the host out',
      [get('/immediate'), get('/immediate', { up: 'hdr:x-envoy-immediate-health-check-fail=1' }), get('/immediate')],
      { stats: ['^cluster\\.immediate\\.membership'] },
    ),
  ],
}

export default group

import { bootstrap, cluster, httpListener, tcpListener } from '../configs/builder.ts'
import { admin, type Group, get, type Step, scenario, tcp } from '../scenario.ts'

/** Outlier detection: success rates, failure percentages, how many hosts at most, how long. The event log is in access.log too. */
const GOOD = ['g1', 'g2', 'g3']
const RATES =
  'interval: 1.2s, base_ejection_time: 60s, max_ejection_percent: 100, success_rate_minimum_hosts: 3, success_rate_request_volume: 2, failure_percentage_minimum_hosts: 5'
const FAILURES =
  'interval: 1.2s, base_ejection_time: 60s, max_ejection_percent: 100, success_rate_minimum_hosts: 50, failure_percentage_minimum_hosts: 2, failure_percentage_request_volume: 2, failure_percentage_threshold: 50'
/** Consecutive errors are not the subject. */
const NO_CONSECUTIVE = 'enforcing_consecutive_5xx: 0, enforcing_consecutive_gateway_failure: 0'
const LONG = 'interval: 3600s, base_ejection_time: 3600s'
const over = (name: string, hosts: readonly string[], detection: string, extra = '') =>
  cluster(
    name,
    hosts,
    `outlier_detection: {${detection}}\ncommon_lb_config: {healthy_panic_threshold: {value: 0}, update_merge_window: 0s}\n${extra}`,
  )
const tally = (path: string, times: number, up?: string): Step => ({
  kind: 'tally',
  times,
  of: 'status',
  step: get(path, { linger: 1, ...(up === undefined ? {} : { up }) }),
})
const connect = (name: string): Step => tcp(name, [{ wait: 20 }, { end: true }])
const failToConnect = (name: string): Step => tcp(name, [{ closed: true }])
const until = (stat: string, value: number): Step => ({ kind: 'until', stat, value })
const routes = (names: readonly string[]): string =>
  names.map(name => `- {match: {prefix: /${name}/}, route: {cluster: ${name}}}\n`).join('')
const shown = (name: string): Step =>
  admin('/clusters', { as: 'lines', only: `^${name}::.*(outlier::|success_rate|health_flags)` })
const EVENTS = 'cluster_manager: {outlier_detection: {event_log_path: $tmp/access.log}}'
const stats = (name: string) => [
  `^cluster\\.${name}\\.(outlier_detection\\.|membership_healthy|upstream_cx_(active|total|destroy|destroy_local)$)`,
]

const RATE_CLUSTERS = ['sr', 'sr_off', 'sr_third', 'fp', 'fp_half', 'origin', 'few']

const TCP_RATES = ['tcp_split', 'tcp_joint']

const rates: Group = {
  name: 'outlier-rates',
  upstreams: {
    g1: { kind: 'http1' },
    g2: { kind: 'http1' },
    g3: { kind: 'http1' },
    bad: { kind: 'http1', script: 'status:500' },
    mixed: { kind: 'http1', script: 'status:500|ok|ok' },
    echo: { kind: 'tcp' },
    half: { kind: 'http1', script: 'status:500|ok|status:501|ok' },
  },
  config: bootstrap(
    [
      httpListener('main', { routes: routes(RATE_CLUSTERS), hcm: 'access_log: []' }),
      ...TCP_RATES.map(name => tcpListener(name, `cluster: ${name}\naccess_log: []`)),
    ],
    [
      over('sr', [...GOOD, 'bad'], `${RATES}, ${NO_CONSECUTIVE}, success_rate_stdev_factor: 1500`),
      over(
        'sr_off',
        [...GOOD, 'bad'],
        `${RATES}, ${NO_CONSECUTIVE}, success_rate_stdev_factor: 1500, enforcing_success_rate: 0`,
      ),
      over('sr_third', [...GOOD, 'mixed'], `${RATES}, ${NO_CONSECUTIVE}`),
      over('fp', ['g1', 'bad'], `${FAILURES}, ${NO_CONSECUTIVE}, enforcing_failure_percentage: 100`),
      over('fp_half', ['g1', 'half'], `${FAILURES}, ${NO_CONSECUTIVE}, enforcing_failure_percentage: 100`),
      over(
        'origin',
        ['g1', 'g2', 'g3', 'nobody'],
        `${RATES}, ${NO_CONSECUTIVE}, split_external_local_origin_errors: true, enforcing_consecutive_local_origin_failure: 0, success_rate_stdev_factor: 1500`,
      ),
      over(
        'tcp_split',
        ['echo', 'nobody'],
        `${RATES.replace('_hosts: 3', '_hosts: 2')}, split_external_local_origin_errors: true, enforcing_consecutive_local_origin_failure: 0`,
      ),
      over('tcp_joint', ['echo', 'nobody'], `${RATES.replace('_hosts: 3', '_hosts: 2')}, ${NO_CONSECUTIVE}`),
      over('few', ['g1', 'bad'], `${RATES}, ${NO_CONSECUTIVE}`),
    ],
    EVENTS,
  ),
  scenarios: [
    scenario(
      'rates',
      'Averages, thresholds and rates of an interval, in /clusters and in the event log',
      [
        {
          kind: 'together',
          steps: [
            tally('/sr/', 16),
            tally('/sr_off/', 16),
            tally('/sr_third/', 12),
            tally('/fp/', 8),
            tally('/fp_half/', 8),
            tally('/origin/', 16),
            tally('/few/', 8),
            ...TCP_RATES.map((name): Step => ({ kind: 'tally', times: 6, of: 'status', step: connect(name) })),
          ].map(step => ({ after: 0, step })),
        },
        until('cluster.sr.outlier_detection.ejections_enforced_success_rate', 1),
        until('cluster.origin.outlier_detection.ejections_detected_local_origin_success_rate', 1),
        ...[...RATE_CLUSTERS, ...TCP_RATES].map(shown),
        admin('/clusters?format=json&filter=^(sr|origin)$', { as: 'json' }),
      ],
      [],
      { upstream: false, unordered: true, stats: RATE_CLUSTERS.flatMap(stats) },
    ),
  ],
}

const LIMITS = ['p33', 'p34', 'p67', 'always', 'none', 'half', 'detected']

const TCP = ['tcp_fail', 'tcp_slow', 'tcp_split']

const limits: Group = {
  name: 'outlier-limits',
  upstreams: {
    b1: { kind: 'http1', script: 'status:500' },
    b2: { kind: 'http1', script: 'status:500' },
    b3: { kind: 'http1', script: 'status:500' },
    g1: { kind: 'http1' },
    hole: { kind: 'blackhole' },
  },
  config: bootstrap(
    [
      httpListener('main', { routes: routes([...LIMITS, 'back', 'gateway']), hcm: 'access_log: []' }),
      ...TCP.map(name => tcpListener(name, `cluster: ${name}`)),
    ],
    [
      over('p33', ['b1', 'b2', 'b3'], `consecutive_5xx: 1, max_ejection_percent: 33, ${LONG}`),
      over('p34', ['b1', 'b2', 'b3'], `consecutive_5xx: 1, max_ejection_percent: 34, ${LONG}`),
      over('p67', ['b1', 'b2', 'b3'], `consecutive_5xx: 1, max_ejection_percent: 67, ${LONG}`),
      over(
        'always',
        ['b1', 'b2', 'b3'],
        `consecutive_5xx: 1, max_ejection_percent: 0, always_eject_one_host: true, ${LONG}`,
      ),
      over('none', ['b1', 'b2', 'b3'], `consecutive_5xx: 1, max_ejection_percent: 0, ${LONG}`),
      over('half', ['b1'], `consecutive_5xx: 1, max_ejection_percent: 100, ${LONG}`),
      over('detected', ['b1'], `consecutive_5xx: 2, enforcing_consecutive_5xx: 0, max_ejection_percent: 100, ${LONG}`),
      over(
        'back',
        ['g1'],
        'consecutive_5xx: 2, interval: 0.1s, base_ejection_time: 0.2s, max_ejection_time: 0.3s, max_ejection_time_jitter: 0.05s, max_ejection_percent: 100',
      ),
      over('tcp_fail', ['nobody'], `consecutive_5xx: 2, max_ejection_percent: 100, ${LONG}`),
      over(
        'tcp_slow',
        ['hole'],
        `consecutive_gateway_failure: 1, enforcing_consecutive_gateway_failure: 100, max_ejection_percent: 100, ${LONG}`,
        'connect_timeout: 0.1s',
      ),
      over(
        'tcp_split',
        ['nobody'],
        `split_external_local_origin_errors: true, consecutive_local_origin_failure: 2, max_ejection_percent: 100, ${LONG}`,
      ),
      over(
        'gateway',
        ['g1'],
        `consecutive_5xx: 50, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100, max_ejection_percent: 100, ${LONG}`,
      ),
    ],
    EVENTS,
  ),
  scenarios: [
    ...LIMITS.map(name =>
      scenario(
        `max-${name}`,
        `How many of the hosts of ${name} are ejected`,
        [tally(`/${name}/`, 9), { kind: 'wait', ms: 60 }],
        [],
        { upstream: false, log: name === 'half' || name === 'detected', stats: stats(name) },
      ),
    ),
    ...['tcp_fail', 'tcp_slow', 'tcp_split'].map(name =>
      scenario(
        name.replace('_', '-'),
        'Connections of tcp_proxy that fail count, and the ejected host is not tried',
        [failToConnect(name), ...[1, 2].flatMap((): Step[] => [{ kind: 'wait', ms: 60 }, failToConnect(name)])],
        [],
        { unordered: true, stats: stats(name) },
      ),
    ),
    scenario(
      'comes-back',
      'An ejected host comes back, and is ejected again only after as many errors in a row',
      [
        tally('/back/', 2, 'status:500'),
        until('cluster.back.outlier_detection.ejections_enforced_total', 1),
        get('/back/'),
        { kind: 'until', stat: 'cluster.back.outlier_detection.ejections_active', value: 0, exact: true },
        get('/back/', { up: 'status:500' }),
        get('/back/'),
        tally('/back/', 2, 'status:503'),
        until('cluster.back.outlier_detection.ejections_enforced_total', 2),
        { kind: 'until', stat: 'cluster.back.outlier_detection.ejections_active', value: 0, exact: true },
      ],
      [],
      { upstream: false, stats: stats('back') },
    ),
    scenario(
      'gateway-resets',
      'A 500 between gateway failures begins their row anew',
      [
        tally('/gateway/', 1, 'status:503'),
        tally('/gateway/', 1, 'status:500'),
        tally('/gateway/', 1, 'status:502'),
        tally('/gateway/', 1, 'status:501'),
        tally('/gateway/', 2, 'status:504'),
        { kind: 'wait', ms: 60 },
        get('/gateway/'),
      ],
      [],
      { upstream: false, stats: stats('gateway') },
    ),
  ],
}

export default [rates, limits]

import { bootstrap, cluster, httpListener, yaml } from '../configs/builder.ts'
import { type Group, get, type Step, scenario } from '../scenario.ts'

/**
 * Which interval follows which health check. One of the two that may be meant is an hour, so that checks go on or stop; how many
 * there were when they have stopped is compared.
 */
const CHECKS: Readonly<Record<string, { up: string; intervals: string; more?: string }>> = {
  quiet: { up: 'good', intervals: 'interval: 0.03s, no_traffic_interval: 3600s' },
  quiet_healthy: {
    up: 'good',
    intervals: 'interval: 3600s, no_traffic_interval: 3600s, no_traffic_healthy_interval: 0.03s',
  },
  quiet_bad: {
    up: 'bad',
    intervals: 'interval: 3600s, no_traffic_interval: 0.03s, no_traffic_healthy_interval: 3600s',
  },
  quiet_bad_slow: { up: 'bad', intervals: 'interval: 0.03s, no_traffic_interval: 3600s, unhealthy_interval: 0.03s' },
  used: { up: 'good', intervals: 'interval: 3600s, no_traffic_interval: 0.8s' },
  used_bad: { up: 'bad', intervals: 'interval: 0.03s, no_traffic_interval: 0.8s, unhealthy_interval: 3600s' },
  used_bad_default: { up: 'bad', intervals: 'interval: 0.03s, no_traffic_interval: 0.8s' },
  fails_fast: {
    up: 'falls',
    intervals: 'interval: 0.03s, no_traffic_interval: 0.8s, unhealthy_edge_interval: 0.03s, unhealthy_interval: 3600s',
    more: 'unhealthy_threshold: 3',
  },
  fails_slowly: {
    up: 'falls2',
    intervals: 'interval: 0.03s, no_traffic_interval: 0.8s, unhealthy_edge_interval: 3600s, unhealthy_interval: 3600s',
    more: 'unhealthy_threshold: 3',
  },
  recovers_fast: {
    up: 'rises',
    intervals: 'interval: 3600s, no_traffic_interval: 0.8s, unhealthy_interval: 0.03s, healthy_edge_interval: 0.03s',
    more: 'healthy_threshold: 3',
  },
  recovers_slowly: {
    up: 'rises2',
    intervals: 'interval: 3600s, no_traffic_interval: 0.8s, unhealthy_interval: 0.03s, healthy_edge_interval: 3600s',
    more: 'healthy_threshold: 3',
  },
  retriable: {
    up: 'busy',
    intervals: 'interval: 0.03s, no_traffic_interval: 0.03s, unhealthy_interval: 3600s',
    more: 'unhealthy_threshold: 3\nhttp_health_check: {path: /healthz, retriable_statuses: [{start: 429, end: 430}], expected_statuses: [{start: 201, end: 202}]}',
  },
  degraded: { up: 'degraded', intervals: 'interval: 3600s, no_traffic_interval: 3600s' },
}
const NAMES = Object.keys(CHECKS)
const RUNS_ON = ['quiet_healthy', 'quiet_bad', 'used_bad_default', 'retriable']
const used = NAMES.filter(name => !name.startsWith('quiet') && name !== 'retriable')
const until = (name: string, what: string, value: number): Step => ({
  kind: 'until',
  stat: `cluster.${name}.health_check.${what}`,
  value,
})

const group: Group = {
  name: 'health-checks',
  upstreams: {
    good: { kind: 'http1' },
    bad: { kind: 'http1', health: 'status:503' },
    falls: { kind: 'http1', health: 'ok|close' },
    falls2: { kind: 'http1', health: 'ok|ok|close' },
    rises: { kind: 'http1', health: 'close|ok' },
    rises2: { kind: 'http1', health: 'close|close|ok' },
    busy: { kind: 'http1', health: 'status:429' },
    degraded: { kind: 'http1', health: 'hdr:x-envoy-degraded=1' },
  },
  config: bootstrap(
    [
      httpListener('main', {
        routes: NAMES.map(name => `- {match: {prefix: /${name}/}, route: {cluster: ${name}}}\n`).join(''),
        hcm: 'access_log: []',
      }),
    ],
    NAMES.map(name => {
      const { up, intervals, more = '' } = CHECKS[name]!
      const check = yaml(
        `{timeout: 0.5s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /healthz}, ${intervals}}`,
      )
      return { ...cluster(name, up), health_checks: [{ ...check, ...yaml(more) }] }
    }),
  ),
  scenarios: [
    scenario(
      'intervals',
      'Healthy or not, on the edge or not, with traffic or without',
      [
        ...used.map(name => get(`/${name}/`, { linger: 1 })),
        ...['quiet_healthy', 'quiet_bad', 'used_bad_default'].map(name => until(name, 'attempt', 4)),
        until('fails_fast', 'failure', 3),
        until('recovers_fast', 'success', 3),
        { kind: 'wait', ms: 900 },
      ],
      [],
      { log: false, upstream: false },
    ),
    scenario('counts', 'How many checks there were', { kind: 'wait', ms: 150 }, [], {
      log: false,
      upstream: false,
      stats: NAMES.flatMap(name => [
        `^cluster\\.${name}\\.membership_(healthy|degraded|excluded)`,
        ...(RUNS_ON.includes(name) ? [] : [`^cluster\\.${name}\\.health_check\\.`]),
      ]),
    }),
    scenario(
      'totals',
      'Counted since the start, where there is only one',
      ['quiet', 'quiet_bad_slow', 'degraded'].map(name => ({
        kind: 'admin',
        method: 'GET',
        path: `/stats?filter=^cluster\\.${name}\\.health_check`,
        as: 'lines',
      })),
    ),
  ],
}

export default group

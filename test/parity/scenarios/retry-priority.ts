import { address, bootstrap, cluster, httpListener } from '../configs/builder.ts'
import { type Group, get, scenario } from '../scenario.ts'

/** previous_priorities: which priorities the attempts of one request go to. Upstream `aN` has priority N. */
const previous = (frequency: number) =>
  `retry_priority: {name: envoy.retry_priorities.previous_priorities, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: ${frequency}}}`
const route = (name: string, policy: string, to = name) =>
  `- {match: {prefix: /${name}/}, route: {cluster: ${to}, timeout: 10s, retry_policy: {retry_on: 5xx, num_retries: 5, retry_back_off: {base_interval: 0.001s}, ${policy}}}}\n`
const levels = (name: string, names: readonly string[], extra = '') => ({
  ...cluster(name, [], extra),
  load_assignment: {
    cluster_name: name,
    endpoints: names.map((up, priority) => ({
      priority,
      lb_endpoints: up === '' ? [] : up.split(' ').map(one => ({ endpoint: { address: address(one) } })),
    })),
  },
})
const CHECK =
  'health_checks: [{timeout: 0.2s, interval: 0.05s, no_traffic_interval: 0.05s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /healthz}}]'
const CASES: readonly (readonly [name: string, doc: string])[] = [
  ['one', 'Every retry goes to priorities that were not tried'],
  ['two', 'Two attempts at a time: priorities change with every second one'],
  ['single', 'One priority only: there is nowhere else to go'],
  ['gap', 'A priority without hosts is passed over'],
  ['sick', 'Unhealthy priorities are not counted'],
  ['plain', 'Without it all retries go where the load is'],
]

const group: Group = {
  name: 'retry-priority',
  upstreams: {
    a0: { kind: 'http1', script: 'status:500' },
    a1: { kind: 'http1', script: 'status:501' },
    a2: { kind: 'http1', script: 'status:502' },
    s0: { kind: 'http1', script: 'status:503', health: 'status:503' },
  },
  config: bootstrap(
    [
      httpListener('main', {
        routes: [
          route('one', previous(1)),
          route('two', previous(2), 'one'),
          route('single', previous(1)),
          route('gap', previous(1)),
          route('sick', previous(1)),
          route('plain', 'retry_host_predicate: []', 'one'),
        ].join(''),
      }),
    ],
    [
      levels('one', ['a0', 'a1', 'a2']),
      levels('single', ['a0']),
      levels('gap', ['a0', '', 'a2']),
      levels('sick', ['s0', 'a1', 'a2'], CHECK),
    ],
  ),
  scenarios: [
    ...CASES.map(([name, doc]) =>
      scenario(name, doc, [
        ...(name === 'sick'
          ? [{ kind: 'until', stat: 'cluster.sick.membership_healthy', value: 2, exact: true } as const]
          : []),
        get(`/${name}/`),
      ]),
    ),
  ],
}

export default group

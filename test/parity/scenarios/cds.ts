import { address, cluster, httpListener } from '../configs/builder.ts'
import { type Group, get, type Step, scenario } from '../scenario.ts'

/** Clusters that come and go while the proxy runs, here from a file. */
const TYPE = 'type.googleapis.com/envoy.config.cluster.v3.Cluster'
/** Of `left` and `right`, which count under one name. */
const SHARED = 'alt_stat_name: both'
const CLUSTERS: Readonly<Record<string, object>> = {
  a: cluster('a', 'a'),
  b: cluster('b', 'b'),
  left: cluster('left', 'a', SHARED),
  right: cluster('right', 'b', SHARED),
}
const response = (version: string, ...names: string[]): object => ({
  version_info: version,
  resources: names.map(name => ({ '@type': TYPE, ...CLUSTERS[name] })),
})
const write = (...content: Parameters<typeof response>): Step => ({
  kind: 'file',
  name: 'cds.json',
  content: response(...content),
})
const until = (stat: string, value: number): Step => ({ kind: 'until', stat: `cluster_manager.${stat}`, value })
const counted = (names: string): { stats: string[] } => ({
  stats: [
    `^cluster\\.${names}\\.upstream_(rq_total|rq_200|rq_2xx|cx_total|cx_http1_total|cx_rx_bytes_total)$`,
    '^cluster_manager\\.(cluster_(added|modified|removed)|(active|warming)_clusters)$',
  ],
})

const group: Group = {
  name: 'cds',
  upstreams: { a: { kind: 'http1' }, b: { kind: 'http1' } },
  files: { 'cds.json': response('1', 'a', 'b') },
  config: {
    node: { id: 'parity', cluster: 'parity-cluster' },
    admin: { address: address('admin') },
    dynamic_resources: {
      cds_config: { path_config_source: { path: '$tmp/cds.json', watched_directory: { path: '$tmp' } } },
    },
    static_resources: {
      listeners: [
        httpListener('main', {
          routes: '[{match: {prefix: /}, route: {cluster_header: x-to}}]',
        }),
      ],
    },
  },
  scenarios: [
    scenario(
      'again',
      'A cluster that goes and comes again counts from zero; others count on',
      [
        to('a'),
        to('b'),
        write('2', 'b'),
        until('cluster_removed', 1),
        to('a'),
        write('3', 'a', 'b'),
        until('cluster_added', 3),
        to('a'),
        to('a'),
        to('b'),
      ],
      [],
      counted('[ab]'),
    ),
    scenario(
      'alt-stat-name',
      'What counts under the name of a cluster that goes counts on',
      [
        write('4', 'a', 'b', 'left', 'right'),
        until('cluster_added', 5),
        to('left'),
        to('right'),
        write('5', 'a', 'b', 'right'),
        until('cluster_removed', 2),
        to('left'),
        to('right'),
      ],
      [],
      counted('both'),
    ),
  ],
}

function to(name: string): Step {
  return get('/', { headers: [`x-to: ${name}`] })
}

export default group

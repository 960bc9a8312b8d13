import { bootstrap, cluster, fileLog, H2_UPSTREAM, httpListener, LOG_FORMAT, typed } from '../configs/builder.ts'
import { type Group, get, grpc, scenario } from '../scenario.ts'

/** Messages and statuses of gRPC calls, counted. */
const TYPE = 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig'
const STATE = '%FILTER_STATE(envoy.filters.http.grpc_stats)% %FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)%'
const LOG = `access_log: [${JSON.stringify(fileLog(LOG_FORMAT.replace('type=', `fs=${STATE} type=`)))}]`
const counted = (name: string, body: string) =>
  httpListener(name, {
    routes: `[{match: {prefix: /}, route: {cluster: ${name}}}]`,
    hcm: LOG,
    filters: [typed('envoy.filters.http.grpc_stats', TYPE, body)],
  })
const STATS = (name: string) => ({ stats: [`^cluster\\.${name}\\.grpc\\.(?!.*upstream_rq_time)`], logLines: 1 })

const group: Group = {
  name: 'grpc-stats',
  upstreams: { h2: { kind: 'h2' } },
  config: bootstrap(
    [
      counted('all', 'stats_for_all_methods: true\nemit_filter_state: true'),
      counted('none', 'stats_for_all_methods: false\nemit_filter_state: true'),
      counted('absent', ''),
      counted('listed', 'individual_method_stats_allowlist: {services: [{name: a.b.S, method_names: [M]}]}'),
      counted(
        'dots',
        'stats_for_all_methods: true\nreplace_dots_in_grpc_service_name: true\nenable_upstream_stats: true',
      ),
    ],
    ['all', 'none', 'absent', 'listed', 'dots'].map(name => cluster(name, 'h2', H2_UPSTREAM)),
  ),
  scenarios: [
    scenario('all-methods', 'Each method has stats', grpc('/a.b.S/M', {}, 'all'), [], STATS('all')),
    scenario('failure', 'A call that fails', grpc('/a.b.S/M', { 'x-up': 'grpc:5' }, 'all'), [], STATS('all')),
    scenario('no-method', 'A path that is no method', grpc('/a', {}, 'all'), [], STATS('all')),
    scenario('no-grpc', 'Other requests are not counted', get('/a.b.S/M', { listener: 'all' }), [], STATS('all')),
    scenario('one-for-all', 'All methods in one', grpc('/a.b.S/M', {}, 'none'), [], STATS('none')),
    scenario('by-default', 'Nothing configured', grpc('/a.b.S/M', {}, 'absent'), [], STATS('absent')),
    scenario(
      'allowlist',
      'Methods that are listed have their own stats, the others share',
      [grpc('/a.b.S/M', {}, 'listed'), grpc('/a.b.S/N', {}, 'listed')],
      [],
      {
        ...STATS('listed'),
        logLines: 2,
      },
    ),
    scenario('dots', 'Dots of services replaced', grpc('/a.b.S/M', {}, 'dots'), [], STATS('dots')),
  ],
}

export default group

import t from 'tap'
import type { Log } from '../../../src/base/log.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { loadBootstrap } from '../../../src/config/load.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { checkUnsupported } from '../../../src/server/unsupported.ts'

registerExtensions()

/** Warnings about a bootstrap in YAML. */
function warnings(yaml: string): string[] {
  const told: string[] = []
  const log = { warning: (text: string) => told.push(text) } as unknown as Log
  checkUnsupported(loadBootstrap({ yaml }).message as envoy.config.bootstrap.v3.Bootstrap, log)
  return told
}

const TYPE = 'type.googleapis.com/envoy.extensions'
const CARES = `${TYPE}.network.dns_resolver.cares.v3.CaresDnsResolverConfig`

t.test('what would send traffic elsewhere, or call headers by other names, is refused by its path', async t => {
  for (const [yaml, path] of [
    ['header_prefix: x-foo', 'header_prefix'],
    ['default_socket_interface: mine', 'default_socket_interface'],
    ['default_config_source: {ads: {}}', 'default_config_source'],
    ['config_sources: [{ads: {}}]', 'config_sources'],
    ['hds_config: {api_type: GRPC}', 'hds_config'],
    ['dynamic_resources: {lds_resources_locator: "xdstp://a/b/c"}', 'dynamic_resources.lds_resources_locator'],
    ['cluster_manager: {upstream_bind_config: {}}', 'cluster_manager.upstream_bind_config'],
    [
      `default_regex_engine: {name: e, typed_config: {"@type": ${TYPE}.access_loggers.stream.v3.StdoutAccessLog}}`,
      'default_regex_engine',
    ],
    [
      `typed_dns_resolver_config: {name: c, typed_config: {"@type": ${CARES}, query_tries: 2}}`,
      'typed_dns_resolver_config',
    ],
  ] as const) {
    t.throws(() => warnings(yaml), { code: 'CONFIG_UNSUPPORTED', path }, yaml)
  }
})

t.test('what only the proxy itself would feel is a warning', async t => {
  t.match(warnings('{flags_path: /x, enable_worker_cpu_affinity: true, fatal_actions: []}'), [
    /^flags_path: field 'flags_path' of envoy\.config\.bootstrap\.v3\.Bootstrap is not supported, it has no effect$/,
    /^enable_worker_cpu_affinity: /,
  ])
  t.match(
    warnings(
      'cluster_manager: {load_stats_config: {api_type: GRPC}, outlier_detection: {event_service: {grpc_service: {envoy_grpc: {cluster_name: x}}}}}',
    ),
    [/^cluster_manager\.load_stats_config: /, /^cluster_manager\.outlier_detection\.event_service: /],
  )
})

t.test('what says what is so anyway is taken', async t => {
  t.same(warnings(`default_regex_engine: {name: e, typed_config: {"@type": ${TYPE}.regex_engines.v3.GoogleRE2}}`), [])
  t.same(warnings(`typed_dns_resolver_config: {name: c, typed_config: {"@type": ${CARES}}}`), [])
  t.same(
    warnings(
      '{deferred_stat_options: {enable_deferred_creation_stats: true}, admin: {ignore_global_conn_limit: true}}',
    ),
    [],
  )
})

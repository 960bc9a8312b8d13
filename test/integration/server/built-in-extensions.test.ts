import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { BUILT_IN_EXTENSIONS } from '../../../src/config/own-extensions.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const E = 'type.googleapis.com/envoy.extensions.'

const extension = (type: string, config: object = {}): object => ({
  name: type,
  typed_config: { '@type': type.startsWith('type.') ? type : E + type, ...config },
})
const all = (category: string, config: Readonly<Record<string, object>> = {}): object[] =>
  BUILT_IN_EXTENSIONS.filter(one => one.category === category && one.typeUrls.length > 0).map(one =>
    extension(`type.googleapis.com/${one.typeUrls[0]}`, config[one.name]),
  )

const address = { socket_address: { address: '127.0.0.1', port_value: 1 } }
const endpoints = [{ lb_endpoints: [{ endpoint: { address } }] }]

const CHECKS = [{ http_health_check: { path: '/' } }, { tcp_health_check: {} }, { grpc_health_check: {} }]
const checked = (i: number): object => ({
  health_checks: [{ timeout: '1s', interval: '1s', unhealthy_threshold: 1, healthy_threshold: 1, ...CHECKS[i % 3] }],
  ...(i % 3 === 2 ? { http2_protocol_options: {} } : {}),
})

/** Every typed one once, each where it belongs. */
const bootstrap = {
  bootstrap_extensions: all('envoy.bootstrap'),
  static_resources: {
    clusters: [
      {
        name: 'c',
        type: 'STATIC',
        load_assignment: { cluster_name: 'c', endpoints },
        typed_extension_protocol_options: Object.fromEntries(
          all('envoy.upstream_options', {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              explicit_http_config: { http_protocol_options: {} },
            },
          }).map(one => [(one as { name: string }).name.split('/')[1], (one as { typed_config: object }).typed_config]),
        ),
      },
      {
        name: 'dns',
        cluster_type: all('envoy.clusters')[0],
        load_assignment: {
          cluster_name: 'dns',
          endpoints: [
            { lb_endpoints: [{ endpoint: { address: { socket_address: { address: 'x.invalid', port_value: 1 } } } }] },
          ],
        },
        typed_dns_resolver_config: all('envoy.network.dns_resolver')[0],
      },
      ...all('envoy.load_balancing_policies').map((policy, i) => ({
        name: `p${i}`,
        load_balancing_policy: { policies: [{ typed_extension_config: policy }] },
        ...(JSON.stringify(policy).includes('ClusterProvided')
          ? { type: 'ORIGINAL_DST', lb_policy: 'CLUSTER_PROVIDED' }
          : checked(i)),
      })),
    ],
    listeners: [
      {
        name: 'l',
        address,
        filter_chains: [
          {
            filters: [
              extension('filters.network.http_connection_manager.v3.HttpConnectionManager', {
                stat_prefix: 'x',
                request_id_extension: {
                  typed_config: (all('envoy.request_id')[0] as { typed_config: object }).typed_config,
                },
                access_log: [
                  extension('access_loggers.file.v3.FileAccessLog', {
                    path: '/dev/null',
                    log_format: {
                      text_format_source: { inline_string: '%REQ_WITHOUT_QUERY(:path)%' },
                      formatters: all('envoy.formatter'),
                    },
                  }),
                ],
                tracing: {
                  provider: extension('type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig', {
                    grpc_service: { envoy_grpc: { cluster_name: 'c' } },
                    service_name: 's',
                    resource_detectors: all('envoy.tracers.opentelemetry.resource_detectors'),
                    sampler: extension('tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig', {
                      wrapped_sampler: extension('tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig'),
                    }),
                  }),
                },
                route_config: {
                  virtual_hosts: [
                    {
                      name: 'v',
                      domains: ['*'],
                      routes: [
                        {
                          match: {
                            path_match_policy: all('envoy.path.match', {
                              'envoy.path.match.uri_template.uri_template_matcher': { path_template: '/{a}' },
                            })[0],
                          },
                          route: {
                            cluster: 'c',
                            path_rewrite_policy: all('envoy.path.rewrite', {
                              'envoy.path.rewrite.uri_template.uri_template_rewriter': {
                                path_template_rewrite: '/x/{a}',
                              },
                            })[0],
                            internal_redirect_policy: { predicates: all('envoy.internal_redirect_predicates') },
                            retry_policy: {
                              retry_host_predicate: all('envoy.retry_host_predicates'),
                              retry_priority: all('envoy.retry_priorities', {
                                'envoy.retry_priorities.previous_priorities': { update_frequency: 1 },
                              })[0],
                            },
                          },
                        },
                      ],
                    },
                  ],
                },
                http_filters: [extension('filters.http.router.v3.Router')],
              }),
            ],
          },
        ],
      },
    ],
  },
}

t.test('what the node says to have is accepted where it belongs', async t => {
  const yaml = JSON.stringify(bootstrap)
  const elsewhere = /samplers|HealthCheck/
  for (const { typeUrls } of BUILT_IN_EXTENSIONS) {
    for (const type of typeUrls) if (!elsewhere.test(type)) t.ok(yaml.includes(type), type)
  }
  const { status, stderr } = spawnSync(ENVOY, ['--mode', 'validate', '--config-yaml', yaml], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
})

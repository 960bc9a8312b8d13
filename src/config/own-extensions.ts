import { registeredFactories } from './registry.ts'

/** As the bootstrap's node lists them. */
export interface OwnExtension {
  readonly category: string
  readonly name: string
  /** Full message names without host; none for what a name or an enum value alone selects. */
  readonly typeUrls: readonly string[]
}

/** What this proxy has, as Envoy names it. Messages of per-route overrides are types of their extension. */
export function ownExtensions(): OwnExtension[] {
  const registered = registeredFactories().map(({ category, name, typeUrls, overrideTypeUrls = [] }) => ({
    category,
    name,
    typeUrls: [...new Set([...typeUrls, ...overrideTypeUrls])],
  }))
  return [...registered, ...BUILT_IN_EXTENSIONS]
}

const EXTENSIONS = 'envoy.extensions.'

/** Without a factory of src/extensions.ts: chosen where the field is read. */
export const BUILT_IN_EXTENSIONS: readonly OwnExtension[] = [
  ...plain('envoy.clusters', [
    'envoy.cluster.eds',
    'envoy.cluster.logical_dns',
    'envoy.cluster.original_dst',
    'envoy.cluster.static',
    'envoy.cluster.strict_dns',
  ]),
  typed('envoy.clusters', 'envoy.cluster.dns', 'clusters.dns.v3.DnsCluster'),
  typed(
    'envoy.network.dns_resolver',
    'envoy.network.dns_resolver.cares',
    'network.dns_resolver.cares.v3.CaresDnsResolverConfig',
  ),
  ...policies(['ClusterProvided', 'LeastRequest', 'Maglev', 'Random', 'RingHash', 'RoundRobin']),
  ...plain('envoy.config_subscription', [
    'envoy.config_subscription.ads',
    'envoy.config_subscription.delta_grpc',
    'envoy.config_subscription.filesystem',
    'envoy.config_subscription.grpc',
  ]),
  { category: 'envoy.health_checkers', name: 'envoy.health_checkers.grpc', typeUrls: healthCheck('Grpc') },
  { category: 'envoy.health_checkers', name: 'envoy.health_checkers.http', typeUrls: healthCheck('Http') },
  { category: 'envoy.health_checkers', name: 'envoy.health_checkers.tcp', typeUrls: healthCheck('Tcp') },
  typed('envoy.bootstrap', 'envoy.bootstrap.internal_listener', 'bootstrap.internal_listener.v3.InternalListener'),
  typed('envoy.formatter', 'envoy.formatter.metadata', 'formatter.metadata.v3.Metadata'),
  typed('envoy.formatter', 'envoy.formatter.req_without_query', 'formatter.req_without_query.v3.ReqWithoutQuery'),
  typed(
    'envoy.path.match',
    'envoy.path.match.uri_template.uri_template_matcher',
    'path.match.uri_template.v3.UriTemplateMatchConfig',
  ),
  typed(
    'envoy.path.rewrite',
    'envoy.path.rewrite.uri_template.uri_template_rewriter',
    'path.rewrite.uri_template.v3.UriTemplateRewriteConfig',
  ),
  typed('envoy.request_id', 'envoy.request_id.uuid', 'request_id.uuid.v3.UuidRequestIdConfig'),
  ...[
    'allow_listed_routes.v3.AllowListedRoutesConfig',
    'previous_routes.v3.PreviousRoutesConfig',
    'safe_cross_scheme.v3.SafeCrossSchemeConfig',
  ].map(type =>
    typed(
      'envoy.internal_redirect_predicates',
      `envoy.internal_redirect_predicates.${type.split('.')[0]}`,
      `internal_redirect.${type}`,
    ),
  ),
  ...[
    'omit_canary_hosts.v3.OmitCanaryHostsPredicate',
    'omit_host_metadata.v3.OmitHostMetadataConfig',
    'previous_hosts.v3.PreviousHostsPredicate',
  ].map(type =>
    typed('envoy.retry_host_predicates', `envoy.retry_host_predicates.${type.split('.')[0]}`, `retry.host.${type}`),
  ),
  typed(
    'envoy.retry_priorities',
    'envoy.retry_priorities.previous_priorities',
    'retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
  ),
  typed(
    'envoy.upstream_options',
    `${EXTENSIONS}upstreams.http.v3.HttpProtocolOptions`,
    'upstreams.http.v3.HttpProtocolOptions',
  ),
  ...['always_on AlwaysOn', 'parent_based ParentBased', 'trace_id_ratio_based TraceIdRatioBased'].map(pair =>
    openTelemetry('samplers', pair, 'SamplerConfig'),
  ),
  ...['environment Environment', 'static_config StaticConfig'].map(pair =>
    openTelemetry('resource_detectors', pair, 'ResourceDetectorConfig'),
  ),
]

function plain(category: string, names: readonly string[]): OwnExtension[] {
  return names.map(name => ({ category, name, typeUrls: [] }))
}

function typed(category: string, name: string, type: string): OwnExtension {
  return { category, name, typeUrls: [EXTENSIONS + type] }
}

function policies(messages: readonly string[]): OwnExtension[] {
  return messages.map(message => {
    const name = message.replaceAll(/(?<=.)[A-Z]/g, '_$&').toLowerCase()
    const [category, type] = ['envoy.load_balancing_policies', `load_balancing_policies.${name}.v3.${message}`]
    return typed(category, `${category}.${name}`, type)
  })
}

function healthCheck(kind: string): string[] {
  return [`envoy.config.core.v3.HealthCheck.${kind}HealthCheck`]
}

function openTelemetry(kind: string, pair: string, suffix: string): OwnExtension {
  const [name, message] = pair.split(' ')
  const category = `envoy.tracers.opentelemetry.${kind}`
  return typed(category, `${category}.${name}`, `tracers.opentelemetry.${kind}.v3.${message}${suffix}`)
}

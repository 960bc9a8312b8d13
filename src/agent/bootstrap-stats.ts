import { parseDuration } from '../base/go-duration.ts'
import { boolFrom } from './go-bool.ts'
import { log } from './log.ts'
import { discoversWorkloads, type Env, type NodeIdentity } from './node-identity.ts'
import type { ProxyConfig } from './proxy-config.ts'
import { STATS_TAGS } from './stats-tags.ts'

type Json = Record<string, unknown>

/** stats_config and the intervals: ProxyConfig, overridden by the pod's annotations sidecar.istio.io/stats*. */
export function statsOptions(node: NodeIdentity, config: ProxyConfig, env: Env): Json {
  const annotations = (node.metadata.ANNOTATIONS ?? {}) as Readonly<Record<string, string>>
  const buckets = histogramBuckets(annotations['sidecar.istio.io/statsHistogramBuckets'])
  return {
    ...intervals(annotations),
    stats_config: {
      use_all_default_tags: false,
      stats_tags: statsTags(config, annotations),
      ...(buckets === undefined ? {} : { histogram_bucket_settings: buckets }),
      stats_matcher: { inclusion_list: { patterns: inclusions(node, config, env, annotations) } },
    },
  }
}

/** The tags users add stand between those about Envoy's own names and those about Istio's. */
function statsTags(config: ProxyConfig, annotations: Readonly<Record<string, string>>): Json[] {
  const asked = [...config.extraStatTags, ...list(annotations['sidecar.istio.io/extraStatTags'])]
  const extra = [...new Set(asked.filter(tag => tag !== ''))].map(tag => ({
    regex: `(${tag}=\\.=(.*?);\\.;)`,
    tag_name: tag,
  }))
  const at = STATS_TAGS.findIndex(tag => tag.tag_name === 'cache')
  return [...STATS_TAGS.slice(0, at), ...extra, ...STATS_TAGS.slice(at)]
}

function inclusions(
  node: NodeIdentity,
  config: ProxyConfig,
  env: Env,
  annotations: Readonly<Record<string, string>>,
): Json[] {
  // An annotation replaces the list of the ProxyConfig; `{pod_ip}` stands for each address of the pod.
  const chosen = (name: string, configured: readonly string[], required: readonly string[]): string[] => {
    const annotated = list(annotations[`sidecar.istio.io/statsInclusion${name}`])
    return [...(annotated.length > 0 ? annotated : configured), ...required].flatMap(pattern =>
      pattern.includes('{pod_ip}') ? node.addresses.map(ip => pattern.replaceAll('{pod_ip}', ip)) : [pattern],
    )
  }
  const suffixes = ['rbac.allowed', 'rbac.denied', 'shadow_allowed', 'shadow_denied']
  // The count of open connections is what EXIT_ON_ZERO_ACTIVE_CONNECTIONS waits for.
  if (boolFrom(env, 'EXIT_ON_ZERO_ACTIVE_CONNECTIONS')) suffixes.push('downstream_cx_active')
  const prefixes = ['cluster_manager', 'listener_manager', 'server', 'cluster.xds-grpc', 'wasm']
  const { statsInclusion } = config
  return [
    { prefix: 'reporter=' },
    ...(discoversWorkloads(node, env) ? [{ prefix: 'workload_discovery' }] : []),
    ...chosen('Prefixes', statsInclusion.prefixes, prefixes).map(prefix => ({ prefix })),
    ...chosen('Suffixes', statsInclusion.suffixes, suffixes).map(suffix => ({ suffix })),
    ...chosen('Regexps', statsInclusion.regexps, ['vhost\\..*\\.route\\..*']).map(regex => ({ safe_regex: { regex } })),
    { prefix: 'component' },
    { prefix: 'istio' },
  ]
}

function histogramBuckets(json: string | undefined): Json[] | undefined {
  if (json === undefined) return undefined
  try {
    const byPrefix = Object.entries(JSON.parse(json) as Record<string, number[]>)
    if (byPrefix.length === 0) return undefined
    return byPrefix.sort(([a], [b]) => (a < b ? -1 : 1)).map(([prefix, buckets]) => ({ match: { prefix }, buckets }))
  } catch (error) {
    log.warn(`Failed to unmarshal histogram buckets ${json}: ${(error as Error).message}`)
    return undefined
  }
}

const DEFAULT_FLUSH_MS = 5000

function intervals(annotations: Readonly<Record<string, string>>): Json {
  const flush = interval('stats flush interval', annotations['sidecar.istio.io/statsFlushInterval'])
  const eviction = interval('stats eviction interval', annotations['sidecar.istio.io/statsEvictionInterval'])
  const result: Json = {}
  if (flush !== undefined) result.stats_flush_interval = `${flush / 1000}s`
  if (eviction !== undefined) {
    if (eviction % (flush ?? DEFAULT_FLUSH_MS) === 0) {
      result.stats_eviction_interval = `${Math.trunc(eviction / 1000)}s`
    } else log.warn('StatsEvictionInterval must be a multiple of the StatsFlushInterval')
  }
  return result
}

function interval(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = parseDuration(text)
  if (ms === undefined) log.warn(`Failed to parse ${what} ${text}: expected a duration such as 10s`)
  return ms
}

function list(text: string | undefined): string[] {
  return text === undefined || text === '' ? [] : text.split(',')
}

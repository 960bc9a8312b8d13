import { RESERVED_PORTS } from '../../agent/scrape-targets.ts'
import { findContainer, InjectionError, type Pod, PROXY_CONTAINER, parseBool } from './kubernetes.ts'

/**
 * Metrics merging: the pod's prometheus.io annotations go into ISTIO_PROMETHEUS_ANNOTATIONS, for the agent, and point to the agent
 * instead (webhook.go, applyPrometheusMerge). Changes `pod`. Throws InjectionError for a port that cannot be the application's.
 */
export function mergePrometheus(pod: Pod, meshMerge: boolean, agentPort: number): void {
  pod.metadata.annotations ??= {}
  const annotations = pod.metadata.annotations
  const scrape =
    find(annotations, 'prometheus_io_scrape')
      .map(parseBool)
      .find(value => value !== undefined) ?? true
  const merge = parseBool(annotations['prometheus.istio.io/merge-metrics'] ?? '') ?? meshMerge
  const target = String(agentPort)
  const port = find(annotations, 'prometheus_io_port')[0]
  // At the agent's port already: put there by hand or by an earlier injection.
  if (!scrape || !merge || port === target) return

  const config = {
    scrape: find(annotations, 'prometheus_io_scrape')[0] ?? '',
    path: find(annotations, 'prometheus_io_path')[0] ?? '',
    port: port ?? '',
    targets: scrapeTargets(find(annotations, 'prometheus_istio_io_scrape_targets')[0]),
  }
  const first = config.targets[0]
  if (first !== undefined) {
    for (const { port } of config.targets) checkPort('invalid prometheus scrape targets: target port', port, target)
    config.port = first.port
    config.path = first.path
  } else if (config.port !== '') {
    checkPort('invalid prometheus scrape configuration: port', config.port, target)
  }
  const sidecar = findContainer(PROXY_CONTAINER, pod.spec.containers, pod.spec.initContainers)
  if (sidecar !== undefined && (config.scrape || config.path || config.port || first !== undefined)) {
    const { targets, ...single } = config
    const value = JSON.stringify(targets.length > 0 ? { ...single, targets } : single)
    sidecar.env = [...(sidecar.env ?? []), { name: 'ISTIO_PROMETHEUS_ANNOTATIONS', value }]
  }
  clearPrometheus(annotations)
  annotations['prometheus.io/port'] = target
  annotations['prometheus.io/path'] = '/stats/prometheus'
  annotations['prometheus.io/scrape'] = 'true'
}

/** prometheus.istio.io/secure-port tells the port of merged metrics over mutual TLS, where the sidecar has one. Changes `pod`. */
export function annotateSecurePort(pod: Pod): void {
  pod.metadata.annotations ??= {}
  const annotations = pod.metadata.annotations
  if (find(annotations, 'prometheus_istio_io_secure_port').length > 0) return
  const sidecar = findContainer(PROXY_CONTAINER, pod.spec.containers, pod.spec.initContainers)
  const port = sidecar?.env?.find(
    ({ name, value }) =>
      name === 'ENVOY_SECURE_MERGED_METRICS_PORT' && value !== undefined && value !== '' && value !== '0',
  )?.value
  if (port !== undefined) annotations['prometheus.istio.io/secure-port'] = port
}

/** Before an injection is repeated: our own annotations must not look like the user's. */
export function forgetMergedPrometheus(annotations: Record<string, string>, agentPort: number): void {
  if (find(annotations, 'prometheus_io_port')[0] === String(agentPort)) clearPrometheus(annotations)
}

const CLEARED = new Set([
  'prometheus_io_path',
  'prometheus_io_port',
  'prometheus_io_scrape',
  'prometheus_istio_io_scrape_targets',
])

function clearPrometheus(annotations: Record<string, string>): void {
  for (const key of Object.keys(annotations)) if (CLEARED.has(labelName(key))) delete annotations[key]
}

/** Prometheus reads prometheus.io/scrape, prometheus.io.scrape and prometheus-io/scrape as one name. */
function find(annotations: Readonly<Record<string, string>>, label: string): string[] {
  return Object.keys(annotations)
    .filter(key => labelName(key) === label)
    .map(key => annotations[key]!)
}

function labelName(text: string): string {
  return text.replace(/[^a-zA-Z0-9_]/g, '_')
}

function scrapeTargets(text: string | undefined): { port: string; path: string }[] {
  const out: { port: string; path: string }[] = []
  for (const entry of (text ?? '').split(',')) {
    const trimmed = entry.trim()
    if (trimmed === '') continue
    const colon = trimmed.indexOf(':')
    const port = (colon < 0 ? trimmed : trimmed.slice(0, colon)).trim()
    // As Istio does: one target without a port, and none of them counts.
    if (port === '') return []
    out.push({ port, path: (colon < 0 ? '' : trimmed.slice(colon + 1).trim()) || '/metrics' })
  }
  return out
}

function checkPort(what: string, text: string, agentPort: string): void {
  const port = /^[+-]?[0-9]+$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65535) throw new InjectionError(`${what.replace(/(target )?port$/, '')}invalid port "${text}"`)
  if (String(port) === agentPort) throw new InjectionError(`${what} ${text} conflicts with agent port`)
  const reason = RESERVED_PORTS[port]
  if (reason !== undefined)
    throw new InjectionError(`${what} ${text} is reserved for Istio (${reason}) and cannot be scraped`)
}

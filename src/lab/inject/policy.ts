import { isObject, type JsonObject, type Pod } from './kubernetes.ts'
import type { Values } from './values.ts'

/** Why a pod is left as it is; undefined: it gets a proxy (inject.go, injectRequired). */
export function skipReason(pod: Pod, values: Values): string | undefined {
  const { metadata, spec } = pod
  // The redirection would be the whole node's.
  if (spec.hostNetwork === true) return 'host networking is enabled'
  if (IGNORED_NAMESPACES.has(metadata.namespace ?? '')) return `namespace ${metadata.namespace} is never injected`
  const wish = metadata.labels?.['sidecar.istio.io/inject'] ?? metadata.annotations?.['sidecar.istio.io/inject'] ?? ''
  if (wish === 'true') return undefined
  if (wish === 'false') return 'sidecar injection is disabled'
  // Anything else is no answer: the installation decides.
  const { neverInjectSelector, alwaysInjectSelector } = values.sidecarInjectorWebhook
  const labels = metadata.labels ?? {}
  if (neverInjectSelector.some(selector => matchesSelector(selector, labels))) return 'neverInjectSelector matches'
  if (alwaysInjectSelector.some(selector => matchesSelector(selector, labels))) return undefined
  return values.global.proxy.autoInject === 'enabled' ? undefined : `autoInject is ${values.global.proxy.autoInject}`
}

/** pkg/kube/inject/initializer.go. */
const IGNORED_NAMESPACES = new Set(['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage'])

/** metav1.LabelSelector; an empty one matches nothing here, as in Istio's injector. An unknown operator matches nothing. */
export function matchesSelector(selector: JsonObject, labels: Readonly<Record<string, string>>): boolean {
  const exact = isObject(selector.matchLabels) ? Object.entries(selector.matchLabels) : []
  const expressions = Array.isArray(selector.matchExpressions) ? selector.matchExpressions : []
  if (exact.length + expressions.length === 0) return false
  return (
    exact.every(([key, value]) => labels[key] === value) &&
    expressions.every(expression => isObject(expression) && matchesExpression(expression, labels))
  )
}

function matchesExpression(expression: JsonObject, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[String(expression.key)]
  const values = Array.isArray(expression.values) ? expression.values.map(String) : []
  switch (expression.operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      return false
  }
}

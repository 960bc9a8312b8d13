import { isObject, type Json } from './kubernetes.ts'

/** The annotation k8s.v1.cni.cncf.io/networks with one network more; it is a comma list or JSON (template.go, appendMultusNetwork). */
export function appendMultusNetwork(existing: string, network: string): string {
  if (existing === '') return network
  const end = existing.lastIndexOf(']')
  if (end < 0) {
    const known = existing.split(',').some(text => text.trim() === network)
    return known ? existing : `${existing}, ${network}`
  }
  let networks: Json
  try {
    networks = JSON.parse(existing) as Json
  } catch {
    // Not for us to repair; Multus will say what is wrong.
    return existing
  }
  const slash = network.indexOf('/')
  const namespace = network.slice(0, Math.max(slash, 0))
  const name = network.slice(slash + 1)
  const same = (item: Json): boolean => isObject(item) && item.name === name && (item.namespace ?? '') === namespace
  if (!Array.isArray(networks) || networks.some(same)) return existing
  const entry = namespace === '' ? `{"name": "${name}"}` : `{"name": "${name}", "namespace": "${namespace}"}`
  return `${existing.slice(0, end)}, ${entry}${existing.slice(end)}`
}

import { isObject, type Json, type JsonObject, type Pod } from './kubernetes.ts'

/**
 * Lays `patch` over `pod` as Kubernetes' strategic merge does for a corev1.Pod: objects field by field, lists that have a merge key
 * item by item, other lists as a whole, null removes. Changes neither argument.
 */
export function mergePod(pod: Pod, patch: JsonObject): Pod {
  return mergeObject(pod, patch) as Pod
}

/** patchMergeKey tags of k8s.io/api/core/v1, by the name of the field; the names are unique enough within a Pod. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  ephemeralContainers: 'name',
  volumes: 'name',
  env: 'name',
  imagePullSecrets: 'name',
  resourceClaims: 'name',
  schedulingGates: 'name',
  ports: 'containerPort',
  volumeMounts: 'mountPath',
  volumeDevices: 'devicePath',
  hostAliases: 'ip',
  topologySpreadConstraints: 'topologyKey',
  ownerReferences: 'uid',
}

function mergeObject(target: JsonObject, patch: JsonObject): JsonObject {
  const out: JsonObject = { ...target }
  for (const [field, value] of Object.entries(patch)) {
    if (value === undefined) continue
    if (value === null) delete out[field]
    else out[field] = mergeValue(field, out[field], value)
  }
  return out
}

function mergeValue(field: string, target: Json | undefined, patch: Json): Json {
  if (isObject(patch) && isObject(target)) return mergeObject(target, patch)
  const key = MERGE_KEYS[field]
  if (!Array.isArray(patch) || !Array.isArray(target) || key === undefined) return structuredClone(patch)
  const merged = patch.map(item => {
    const old = target.find(candidate => same(candidate, item, key))
    return old === undefined ? structuredClone(item) : mergeObject(old as JsonObject, item as JsonObject)
  })
  const untouched = target.filter(item => !patch.some(other => same(item, other, key)))
  return interleaved(untouched, merged, target, key)
}

function same(a: Json, b: Json, key: string): boolean {
  return isObject(a) && isObject(b) && a[key] === b[key]
}

/** Items of the patch come first, but an item that stood before one of them stays before it (strategicpatch's mergeSortedSlice). */
function interleaved(untouched: readonly Json[], merged: readonly Json[], order: readonly Json[], key: string): Json[] {
  const at = (item: Json): number => order.findIndex(other => same(other, item, key))
  const out: Json[] = []
  let next = 0
  for (const item of merged) {
    const place = at(item)
    while (place >= 0 && next < untouched.length && at(untouched[next]!) < place) out.push(untouched[next++]!)
    out.push(item)
  }
  return [...out, ...untouched.slice(next)]
}

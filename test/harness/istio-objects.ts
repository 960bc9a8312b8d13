/** Brings Kubernetes objects into a form in which equal ones are deepEqual: Go leaves out what is empty, and canonicalises quantities. */
export function normalised(value: unknown): unknown {
  return prune(value, '')
}

const JSON_VARIABLES = new Set([
  'PROXY_CONFIG',
  'ISTIO_META_POD_PORTS',
  'ISTIO_KUBE_APP_PROBERS',
  'ISTIO_PROMETHEUS_ANNOTATIONS',
])
/** Their order means nothing. */
const SORTED: Readonly<Record<string, string>> = { volumeMounts: 'mountPath' }

function prune(value: unknown, field: string): unknown {
  if (Array.isArray(value)) {
    const items = value.map(item => prune(item, ''))
    const key = SORTED[field]
    if (key !== undefined) items.sort((a, b) => (String(pick(a, key)) < String(pick(b, key)) ? -1 : 1))
    return items.length === 0 ? undefined : items
  }
  if (typeof value === 'object' && value !== null) {
    const out: Record<string, unknown> = {}
    for (const name of Object.keys(value).sort()) {
      const item = pick(value, name)
      const pruned =
        (name === 'limits' || name === 'requests') && typeof item === 'object' ? quantities(item) : prune(item, name)
      if (pruned !== undefined && pruned !== null && name !== 'creationTimestamp' && name !== 'status')
        out[name] = pruned
      if (name === 'proxy.istio.io/overrides') out[name] = prune(JSON.parse(String(item)), '')
    }
    if (JSON_VARIABLES.has(String(out.name)) && typeof out.value === 'string')
      out.value = prune(JSON.parse(out.value), '')
    if (out.value === '') delete out.value
    return Object.keys(out).length === 0 ? undefined : out
  }
  return value
}

function pick(object: unknown, key: string): unknown {
  return (object as Record<string, unknown>)[key]
}

/** 2000m is 2, 1024Mi is 1Gi. */
function quantities(list: unknown): unknown {
  return Object.fromEntries(
    Object.entries((list ?? {}) as Record<string, unknown>).map(([name, amount]) => {
      const text = String(amount)
      const milli = /^([0-9]+)000m$/.exec(text)
      const mebi = /^([0-9]+)Mi$/.exec(text)
      if (milli) return [name, milli[1]]
      if (mebi && Number(mebi[1]) % 1024 === 0) return [name, `${Number(mebi[1]) / 1024}Gi`]
      return [name, text]
    }),
  )
}

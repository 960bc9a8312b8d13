import {
  type Container,
  findContainer,
  isObject,
  type Json,
  type JsonObject,
  type Pod,
  PROXY_CONTAINER,
  parseBool,
} from './kubernetes.ts'

/**
 * The kubelet's probes have no mesh certificate and come from an address that the proxy does not know: they are sent to the agent
 * (`/app-health/…`, `/app-lifecycle/…`), which asks the application itself; ISTIO_KUBE_APP_PROBERS tells it what (app_probe.go).
 * Changes `pod`. `reinjected`: the pod has been through this already; what its sidecar carries stays.
 */
export function rewriteProbes(pod: Pod, byDefault: boolean, meshStatusPort: number, reinjected: boolean): void {
  const sidecar = findContainer(PROXY_CONTAINER, pod.spec.containers, pod.spec.initContainers)
  if (sidecar === undefined) return
  const annotations = pod.metadata.annotations ?? {}
  const wanted = parseBool(annotations['sidecar.istio.io/rewriteAppHTTPProbers'] ?? '') ?? byDefault
  if (!wanted) return
  const probers = collect(pod, meshStatusPort)
  if (Object.keys(probers).length > 0) setProbers(sidecar, probers, reinjected)
  const own = annotations['status.sidecar.istio.io/port']
  const statusPort = own === undefined ? meshStatusPort : Number(own)
  for (const container of applicationContainers(pod)) {
    for (const { holder, field, path, probe } of handlers(container))
      holder[field] = redirected(probe, path, statusPort)
  }
}

interface Handler {
  readonly holder: JsonObject
  readonly field: string
  readonly path: string
  readonly probe: JsonObject
}

function applicationContainers(pod: Pod): Container[] {
  return [...(pod.spec.initContainers ?? []), ...(pod.spec.containers ?? [])].filter(c => c.name !== PROXY_CONTAINER)
}

/** Probes and hooks that use the network; `exec` ones work as they are. */
function handlers(container: Container): Handler[] {
  const out: Handler[] = []
  const add = (holder: JsonObject, field: string, path: string, withGrpc: boolean): void => {
    const probe = holder[field]
    if (!isObject(probe)) return
    if (isObject(probe.httpGet) || isObject(probe.tcpSocket) || (withGrpc && isObject(probe.grpc)))
      out.push({ holder, field, path, probe })
  }
  add(container, 'readinessProbe', `/app-health/${container.name}/readyz`, true)
  add(container, 'livenessProbe', `/app-health/${container.name}/livez`, true)
  add(container, 'startupProbe', `/app-health/${container.name}/startupz`, true)
  if (isObject(container.lifecycle)) {
    add(container.lifecycle, 'preStop', `/app-lifecycle/${container.name}/prestopz`, false)
    add(container.lifecycle, 'postStart', `/app-lifecycle/${container.name}/poststartz`, false)
  }
  return out
}

function redirected(probe: JsonObject, path: string, port: number): JsonObject {
  const { httpGet, tcpSocket: _tcp, grpc: _grpc, ...rest } = probe
  const action: JsonObject = { ...(httpGet as JsonObject | undefined), path, port }
  // Kubelet → HTTP → agent → HTTPS → application.
  if (action.scheme === 'HTTPS') action.scheme = 'HTTP'
  return { ...rest, httpGet: action }
}

function collect(pod: Pod, meshStatusPort: number): JsonObject {
  const out: JsonObject = {}
  for (const container of applicationContainers(pod)) {
    for (const { path, probe, holder } of handlers(container)) {
      const prober = resolve(probe, container, meshStatusPort)
      if (prober === undefined) continue
      // Lifecycle hooks have no timeout of their own.
      if (holder === container && typeof probe.timeoutSeconds === 'number') prober.timeoutSeconds = probe.timeoutSeconds
      out[path] = prober
    }
  }
  return out
}

/** Named ports become numbers: the agent does not know the pod's. Undefined for an unknown name and for what is rewritten already. */
function resolve(probe: JsonObject, container: Container, meshStatusPort: number): JsonObject | undefined {
  const kind = isObject(probe.httpGet) ? 'httpGet' : isObject(probe.tcpSocket) ? 'tcpSocket' : 'grpc'
  const action = { ...(probe[kind] as JsonObject) }
  if (kind !== 'grpc') {
    if (typeof action.port === 'string') {
      const named = container.ports?.find(port => port.name === action.port)
      if (named === undefined) return undefined
      action.port = named.containerPort as Json
    } else if (action.port === meshStatusPort) return undefined
  }
  return { [kind]: action }
}

function setProbers(sidecar: Container, probers: JsonObject, reinjected: boolean): void {
  sidecar.env = [...(sidecar.env ?? [])]
  const at = reinjected ? sidecar.env.findIndex(variable => variable.name === 'ISTIO_KUBE_APP_PROBERS') : -1
  if (at < 0) {
    sidecar.env.push({ name: 'ISTIO_KUBE_APP_PROBERS', value: JSON.stringify(probers) })
    return
  }
  let old: unknown
  try {
    old = JSON.parse(sidecar.env[at]!.value ?? '{}')
  } catch {
    // What somebody else wrote there is left alone.
    return
  }
  const merged = { ...probers, ...(old as JsonObject) }
  sidecar.env[at] = { name: 'ISTIO_KUBE_APP_PROBERS', value: JSON.stringify(merged) }
}

import { validateAnnotations } from './annotations.ts'
import { rewriteProbes } from './app-probes.ts'
import { moveFirst, moveLast, reorder, without } from './container-order.ts'
import { gatewayTemplate } from './gateway-template.ts'
import {
  type Container,
  findContainer,
  InjectionError,
  isObject,
  type JsonObject,
  type Owner,
  type Pod,
  PROXY_CONTAINER,
} from './kubernetes.ts'
import { applyAnnotation, type MeshConfig, type ProxyConfig } from './mesh-config.ts'
import { adjustInitUser, type ContainerSets, existingOverrides, reapplyOverrides } from './overrides.ts'
import { annotateSecurePort, forgetMergedPrometheus, mergePrometheus } from './prometheus.ts'
import { sidecarTemplate } from './sidecar-template.ts'
import { mergePod } from './strategic-merge.ts'
import type { TemplateInput } from './template-input.ts'
import type { Values } from './values.ts'

/** What an installation injects. */
export interface InjectionSettings {
  readonly values: Values
  readonly mesh: MeshConfig
  /** Istio's revision; empty is `default`. */
  readonly revision: string
  /** The proxy is an init container that stays (Kubernetes 1.29 and later); the annotation of a pod wins. */
  readonly nativeSidecar: boolean
  readonly compliancePolicy: string
}

export interface InjectionRequest {
  readonly pod: Pod
  readonly owner: Owner
  readonly settings: InjectionSettings
  /** Variables from the path of the webhook (`/inject/cluster/C/net/N`). */
  readonly proxyEnv?: Readonly<Record<string, string>>
  /** Ids of the proxy, where the platform gives each namespace its own (OpenShift); default 1337. */
  readonly ids?: { readonly uid: number; readonly gid: number }
}

/**
 * The pod with the proxy in it, as Istio's injector makes it (pkg/kube/inject/webhook.go, injectPod); repeated on its own result it
 * changes nothing. `request.pod` stays as it is. Throws InjectionError.
 */
export function injectPod(request: InjectionRequest): Pod {
  const original = structuredClone(request.pod)
  original.metadata ??= {}
  original.spec ??= {}
  const annotations = original.metadata.annotations ?? {}
  validateAnnotations(annotations)
  const settings = withPlace(request, original)
  const native = nativeSidecar(annotations, settings)
  const proxyConfig = proxyConfigOf(annotations, settings)
  const injectedBefore = previousStatus(annotations)
  const overrides = existingOverrides(annotations)

  const base = injectedBefore === undefined ? original : stripped(original, injectedBefore, settings.mesh)
  const input = templateInput(request, settings, reinserted(base, overrides), proxyConfig, native)
  let template: Pod = { metadata: {}, spec: {} }
  let merged = original
  for (const make of templates(annotations, settings.values)) {
    const filled = make(input)
    template = mergePod(template, filled)
    // A user's istio-proxy stands in `containers`; a native sidecar is an init container.
    if (native && findContainer(PROXY_CONTAINER, template.spec.initContainers)) merged = proxyMovedToInit(merged)
    merged = mergePod(merged, filled)
  }
  merged = reapplyOverrides(merged, original, template, overrides, injectedBefore)
  const { containers = [], initContainers = [] } = original.spec
  adjustInitUser(merged, injectedBefore === undefined ? { containers, initContainers } : overrides, proxyConfig)
  finish(merged, original, template, request, settings, proxyConfig, injectedBefore !== undefined)
  return merged
}

/** Cluster and network: values, then the webhook's path, then the pod's own label. */
function withPlace(request: InjectionRequest, pod: Pod): InjectionSettings {
  const { global } = request.settings.values
  const cluster = request.proxyEnv?.ISTIO_META_CLUSTER_ID || global.multiCluster.clusterName
  const network =
    pod.metadata.labels?.['topology.istio.io/network'] ?? (request.proxyEnv?.ISTIO_META_NETWORK || global.network)
  const placed = { ...global, network, multiCluster: { clusterName: cluster } }
  return { ...request.settings, values: { ...request.settings.values, global: placed } }
}

function nativeSidecar(annotations: Readonly<Record<string, string>>, settings: InjectionSettings): boolean {
  const wanted = annotations['sidecar.istio.io/nativeSidecar']
  return wanted === undefined || wanted === '' ? settings.nativeSidecar : wanted !== 'false'
}

function proxyConfigOf(annotations: Readonly<Record<string, string>>, settings: InjectionSettings): ProxyConfig {
  const text = annotations['proxy.istio.io/config']
  return text === undefined ? settings.mesh.defaultConfig : applyAnnotation(settings.mesh.defaultConfig, text)
}

/** Names of containers that an earlier injection added; undefined: this pod is new. */
function previousStatus(annotations: Readonly<Record<string, string>>): ContainerNames | undefined {
  const text = annotations['sidecar.istio.io/status']
  if (text === undefined) return undefined
  let status: unknown
  try {
    status = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(status)) return undefined
  const names = (list: unknown): string[] => (Array.isArray(list) ? list.map(String) : [])
  return { containers: names(status.containers), initContainers: names(status.initContainers) }
}

export interface ContainerNames {
  readonly containers: readonly string[]
  readonly initContainers: readonly string[]
}

function stripped(pod: Pod, names: ContainerNames, mesh: MeshConfig): Pod {
  const out = structuredClone(pod)
  if (out.spec.containers) out.spec.containers = without(out.spec.containers, names.containers)
  if (out.spec.initContainers) out.spec.initContainers = without(out.spec.initContainers, names.initContainers)
  const annotations = out.metadata.annotations ?? {}
  forgetMergedPrometheus(annotations, Number(mesh.defaultConfig.statusPort))
  delete annotations['sidecar.istio.io/status']
  return out
}

/** A template that changes containers of the pod itself must see them as the user wrote them. */
function reinserted(pod: Pod, overrides: ContainerSets): Pod {
  const add = (list: readonly Container[] | undefined, more: readonly Container[]): Container[] => [
    ...(list ?? []),
    ...more.filter(({ name }) => findContainer(name, list) === undefined),
  ]
  const containers = add(pod.spec.containers, overrides.containers)
  const initContainers = add(pod.spec.initContainers, overrides.initContainers)
  return { ...pod, spec: { ...pod.spec, containers, initContainers } }
}

function templateInput(
  request: InjectionRequest,
  settings: InjectionSettings,
  pod: Pod,
  proxyConfig: ProxyConfig,
  nativeSidecar: boolean,
): TemplateInput {
  return {
    owner: request.owner,
    annotations: pod.metadata.annotations ?? {},
    labels: pod.metadata.labels ?? {},
    spec: pod.spec,
    proxyConfig,
    mesh: settings.mesh,
    values: settings.values,
    revision: settings.revision,
    nativeSidecar,
    proxyUid: request.ids?.uid ?? 1337,
    proxyGid: request.ids?.gid ?? 1337,
    compliancePolicy: settings.compliancePolicy,
  }
}

const TEMPLATES: Readonly<Record<string, (input: TemplateInput) => Pod>> = {
  sidecar: sidecarTemplate,
  gateway: gatewayTemplate,
}

function templates(
  annotations: Readonly<Record<string, string>>,
  values: Values,
): readonly ((input: TemplateInput) => Pod)[] {
  const { defaultTemplates } = values.sidecarInjectorWebhook
  const names =
    annotations['inject.istio.io/templates']?.split(',').map(name => name.trim()) ??
    (defaultTemplates.length > 0 ? defaultTemplates : ['sidecar'])
  return names.map(name => {
    const make = TEMPLATES[name]
    if (make === undefined)
      throw new InjectionError(`requested template "${name}" not found; have ${Object.keys(TEMPLATES).join(', ')}`)
    return make
  })
}

function proxyMovedToInit(pod: Pod): Pod {
  const proxy = findContainer(PROXY_CONTAINER, pod.spec.containers)
  if (proxy === undefined) return pod
  const containers = without(pod.spec.containers ?? [], [PROXY_CONTAINER])
  return { ...pod, spec: { ...pod.spec, containers, initContainers: [...(pod.spec.initContainers ?? []), proxy] } }
}

/** What no template can say: environment of the place, metrics, probes, the status annotation, the order. */
function finish(
  pod: Pod,
  original: Pod,
  template: Pod,
  request: InjectionRequest,
  settings: InjectionSettings,
  proxyConfig: ProxyConfig,
  injectedBefore: boolean,
): void {
  pod.metadata.annotations ??= {}
  pod.metadata.labels ??= {}
  const { values, mesh } = settings
  const statusPort = Number(mesh.defaultConfig.statusPort)
  setPlace(pod, request, settings)
  mergePrometheus(pod, mesh.enablePrometheusMerge, statusPort)
  annotateSecurePort(pod)
  rewriteProbes(pod, values.sidecarInjectorWebhook.rewriteAppHTTPProbe, statusPort, injectedBefore)
  if (values.global.network !== '') pod.metadata.labels['topology.istio.io/network'] = values.global.network
  pod.metadata.annotations['sidecar.istio.io/status'] = status(template, settings.revision)
  Object.assign(pod.metadata.annotations, values.sidecarInjectorWebhook.injectedAnnotations)
  // The annotation of the pod as it came, over the mesh; proxyConfig is just that.
  const hold =
    proxyConfig.holdApplicationUntilProxyStarts === true || values.global.proxy.holdApplicationUntilProxyStarts
  reorder(pod, hold ? moveFirst : moveLast)
  if (original.spec.containers === undefined && pod.spec.containers?.length === 0) delete pod.spec.containers
}

/** Cluster, network and what else the path says replace the variables of the same name; they come last, sorted. */
function setPlace(pod: Pod, request: InjectionRequest, settings: InjectionSettings): void {
  const { network, multiCluster } = settings.values.global
  const place: Record<string, string> = { ...request.proxyEnv }
  if (multiCluster.clusterName !== '') place.ISTIO_META_CLUSTER_ID = multiCluster.clusterName
  if (network !== '') place.ISTIO_META_NETWORK = network
  const sidecar = findContainer(PROXY_CONTAINER, pod.spec.containers, pod.spec.initContainers)
  if (sidecar === undefined) return
  sidecar.env = (sidecar.env ?? []).filter(({ name }) => place[name] === undefined)
  for (const name of Object.keys(place).sort()) sidecar.env.push({ name, value: place[name]! })
}

function status(template: Pod, revision: string): string {
  const names = (list: readonly JsonObject[] | undefined): unknown =>
    list?.length ? list.map(({ name }) => name) : null
  const { spec } = template
  return JSON.stringify({
    initContainers: names(spec.initContainers),
    containers: names(spec.containers),
    volumes: names(spec.volumes),
    imagePullSecrets: names(spec.imagePullSecrets),
    revision: revision || 'default',
  })
}

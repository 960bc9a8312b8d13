import type { ContainerNames } from './injection.ts'
import {
  type Container,
  findContainer,
  INIT_CONTAINER,
  InjectionError,
  isObject,
  type JsonObject,
  type Pod,
  PROXY_CONTAINER,
  VALIDATION_CONTAINER,
} from './kubernetes.ts'
import type { ProxyConfig } from './mesh-config.ts'
import { mergePod } from './strategic-merge.ts'

export interface ContainerSets {
  readonly containers: readonly Container[]
  readonly initContainers: readonly Container[]
}

const ANNOTATION = 'proxy.istio.io/overrides'

/** The user's own istio-proxy and istio-init of the first injection. Throws InjectionError where the annotation is not JSON. */
export function existingOverrides(annotations: Readonly<Record<string, string>>): ContainerSets {
  const text = annotations[ANNOTATION]
  if (text === undefined) return { containers: [], initContainers: [] }
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (error) {
    throw new InjectionError(`invalid value for annotation '${ANNOTATION}': ${(error as Error).message}`)
  }
  const list = (value: unknown): Container[] => (Array.isArray(value) ? (value as Container[]) : [])
  return isObject(given)
    ? { containers: list(given.containers), initContainers: list(given.initContainers) }
    : { containers: [], initContainers: [] }
}

/**
 * A container that the template makes and the user wrote too is the template's with the user's fields over it; `image: auto` is the
 * template's image. The user's part is kept in an annotation for the next injection (webhook.go, reapplyOverwrittenContainers).
 */
export function reapplyOverrides(
  pod: Pod,
  original: Pod,
  template: Pod,
  known: ContainerSets,
  injectedBefore: ContainerNames | undefined,
): Pod {
  let out = pod
  const found: { containers?: Container[]; initContainers?: Container[] } = {}
  const each = (
    list: 'containers' | 'initContainers',
    ...written: readonly (readonly Container[] | undefined)[]
  ): void => {
    for (const { name } of template.spec[list] ?? []) {
      // Our own of last time is not the user's; what the user wrote then stands in the annotation. (Istio's injector forgets it here.)
      const ours = injectedBefore?.[list].includes(name) === true
      const match = findContainer(name, known[list], ...(ours ? [] : written))
      if (match === undefined) continue
      const overlay = structuredClone(match)
      if (overlay.image === 'auto') delete overlay.image
      found[list] = [...(found[list] ?? []), { ...overlay, resources: overlay.resources ?? {} }]
      out = mergePod(out, { spec: { [list]: [overlay] } })
    }
  }
  each('containers', original.spec.containers)
  each('initContainers', original.spec.containers, original.spec.initContainers)
  if (injectedBefore === undefined && Object.keys(found).length > 0) {
    const annotations = { ...out.metadata.annotations, [ANNOTATION]: JSON.stringify(found) }
    out = { ...out, metadata: { ...out.metadata, annotations } }
  }
  return out
}

/** The redirection must spare the user that the proxy runs as: a user's runAsUser goes into `-u` too. Changes `pod`. */
export function adjustInitUser(pod: Pod, written: ContainerSets, proxyConfig: ProxyConfig): void {
  const own = findContainer(PROXY_CONTAINER, written.containers, written.initContainers)?.securityContext
  if (own === undefined || (own.runAsUser === undefined && own.runAsGroup === undefined)) return
  const init = findContainer(INIT_CONTAINER, pod.spec.initContainers)
  const container = init ?? findContainer(VALIDATION_CONTAINER, pod.spec.initContainers)
  if (container === undefined) return
  const mode = pod.metadata.annotations?.['sidecar.istio.io/interceptionMode']
  const tproxy = proxyConfig.interceptionMode === 'TPROXY' || mode === 'TPROXY'
  if (tproxy && own.runAsUser !== undefined) {
    // TPROXY needs root, whatever the user says.
    const sidecar = findContainer(PROXY_CONTAINER, pod.spec.containers, pod.spec.initContainers)
    if (sidecar?.securityContext) sidecar.securityContext = { ...sidecar.securityContext, runAsUser: 0 }
  }
  if (!tproxy && container.name === VALIDATION_CONTAINER) {
    const ids: JsonObject = {}
    if (own.runAsUser !== undefined) ids.runAsUser = own.runAsUser
    if (own.runAsGroup !== undefined) ids.runAsGroup = own.runAsGroup
    container.securityContext = { ...container.securityContext, ...ids }
  }
  // iptables does not know an owner 0.
  if (own.runAsUser === undefined || own.runAsUser === 0) return
  const at = container.args?.indexOf('-u') ?? -1
  if (at >= 0) container.args![at + 1] = String(own.runAsUser)
}

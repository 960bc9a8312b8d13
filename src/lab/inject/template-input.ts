import type { Container, JsonObject, Owner, PodSpec } from './kubernetes.ts'
import type { MeshConfig, ProxyConfig } from './mesh-config.ts'
import type { Values } from './values.ts'

/** What a template is filled with: SidecarTemplateData of pkg/kube/inject/inject.go. */
export interface TemplateInput {
  readonly owner: Owner
  readonly annotations: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly spec: PodSpec
  readonly proxyConfig: ProxyConfig
  readonly mesh: MeshConfig
  readonly values: Values
  /** Istio's revision; empty is `default`. */
  readonly revision: string
  /** The pod's annotation is already taken into account. */
  readonly nativeSidecar: boolean
  readonly proxyUid: number
  readonly proxyGid: number
  /** COMPLIANCE_POLICY, empty where there is none. */
  readonly compliancePolicy: string
}

/** The application's containers, in the pod's order. */
export function applicationNames(input: TemplateInput): string[] {
  return (input.spec.containers ?? []).map(({ name }) => name).filter(name => name !== 'istio-proxy')
}

/** Annotation, or the value of the installation. */
export function annotation(input: TemplateInput, name: string, otherwise: unknown): string {
  return input.annotations[name] ?? String(otherwise)
}

export function canonicalName(input: TemplateInput): string {
  const { labels } = input
  return labels['service.istio.io/canonical-name'] || labels['app.kubernetes.io/name'] || labels.app || input.owner.name
}

export function canonicalRevision(input: TemplateInput): string {
  const { labels } = input
  return (
    labels['service.istio.io/canonical-revision'] || labels['app.kubernetes.io/version'] || labels.version || 'latest'
  )
}

/** Annotations that make `kubectl logs` and `kubectl exec` go to the application. */
export function defaultContainer(input: TemplateInput): Record<string, string> {
  const first = applicationNames(input)[0]
  const out: Record<string, string> = { 'istio.io/rev': input.revision || 'default' }
  if (first === undefined) return out
  for (const name of ['kubectl.kubernetes.io/default-logs-container', 'kubectl.kubernetes.io/default-container']) {
    if (input.annotations[name] === undefined) out[name] = first
  }
  return out
}

/** A whole reference in the annotation or in the values wins; else hub/name:tag-variant. */
export function proxyImage(input: TemplateInput, name: string, variantOfMesh: boolean): string {
  const wanted = annotation(input, 'sidecar.istio.io/proxyImage', name)
  if (wanted.includes('/')) return wanted
  const { hub, tag, variant } = input.values.global
  const ofMesh = variantOfMesh ? ((input.proxyConfig.image as JsonObject | undefined)?.imageType as string) : ''
  const type = input.annotations['sidecar.istio.io/proxyImageType'] ?? (ofMesh || variant)
  return `${hub}/${name}:${withVariant(String(tag), type)}`
}

function withVariant(tag: string, variant: string): string {
  if (variant === '') return tag
  const plain = tag.replace(/-(distroless|debug)$/, '')
  return variant === 'default' ? plain : `${plain}-${variant}`
}

/** The container's securityContext.seccompProfile, where the installation has one. */
export function seccomp(input: TemplateInput): JsonObject {
  const profile = input.values.global.proxy.seccompProfile
  return Object.keys(profile).length > 0 ? { seccompProfile: profile } : {}
}

/** imagePullPolicy, where the installation has one. */
export function pullPolicy(input: TemplateInput): Partial<Container> {
  const policy = input.values.global.imagePullPolicy
  return policy === '' ? {} : { imagePullPolicy: policy }
}

export function metadataOf(config: ProxyConfig): [string, string][] {
  const metadata = (config.proxyMetadata ?? {}) as Record<string, string>
  // The order of Go's templates over maps.
  return Object.entries(metadata).sort((a, b) => (a[0] < b[0] ? -1 : 1))
}

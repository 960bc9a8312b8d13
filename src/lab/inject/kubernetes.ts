/** What injection reads and writes of Kubernetes objects, as they are in JSON; every other field is carried along untouched. */
export type Json = null | boolean | number | string | Json[] | JsonObject
export interface JsonObject {
  [field: string]: Json | undefined
}

/** metav1.ObjectMeta. */
export interface ObjectMeta extends JsonObject {
  name?: string
  generateName?: string
  namespace?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
}

export interface EnvVar extends JsonObject {
  name: string
  value?: string
}

/** corev1.Container. */
export interface Container extends JsonObject {
  name: string
  image?: string
  args?: string[]
  env?: EnvVar[]
  ports?: JsonObject[]
  lifecycle?: JsonObject
  securityContext?: JsonObject
}

export interface PodSpec extends JsonObject {
  containers?: Container[]
  initContainers?: Container[]
  volumes?: JsonObject[]
  imagePullSecrets?: JsonObject[]
  hostNetwork?: boolean
  serviceAccountName?: string
}

export interface Pod extends JsonObject {
  metadata: ObjectMeta
  spec: PodSpec
}

/** The controller above a pod, for the names that telemetry shows. */
export interface Owner {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly namespace: string
}

export const PROXY_CONTAINER = 'istio-proxy'
export const INIT_CONTAINER = 'istio-init'
export const VALIDATION_CONTAINER = 'istio-validation'

/** An injection that cannot be done; the message is for the author of the workload. */
export class InjectionError extends Error {
  override readonly name = 'InjectionError'
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function findContainer(
  name: string,
  ...lists: readonly (readonly Container[] | undefined)[]
): Container | undefined {
  for (const list of lists) {
    const found = list?.find(container => container.name === name)
    if (found !== undefined) return found
  }
  return undefined
}

/** Go's strconv.ParseBool; undefined where that fails. */
export function parseBool(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false
  return undefined
}

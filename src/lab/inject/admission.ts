import { type InjectionSettings, injectPod } from './injection.ts'
import { jsonPatch } from './json-patch.ts'
import { InjectionError, isObject, type JsonObject, type Pod } from './kubernetes.ts'
import { forgetAssignedUser, proxyIds } from './openshift.ts'
import { ownerOf } from './owner.ts'
import { skipReason } from './policy.ts'

/** What the injector knows of the pod's place. */
export interface Place {
  /** Path of the request, `/inject/cluster/C/net/N`. */
  readonly path: string
  /** Annotations of the pod's namespace, on OpenShift only. */
  readonly namespaceAnnotations?: Readonly<Record<string, string>>
}

export interface Verdict {
  /** An AdmissionReview with its response. */
  readonly review: JsonObject
  /** For the log: what was done to which pod. */
  readonly summary: string
}

/**
 * Answers one AdmissionReview (admission.k8s.io v1 or v1beta1) about a pod: a JSON patch with the proxy, nothing, or a refusal that the
 * author of the pod reads. Throws InjectionError where the text is no such review.
 */
export function admit(text: string, settings: InjectionSettings, place: Place): Verdict {
  const { apiVersion, request } = parseReview(text)
  const answer = (response: JsonObject, summary: string): Verdict => ({
    review: { apiVersion, kind: 'AdmissionReview', response: { uid: request.uid, ...response } },
    summary,
  })
  const { object } = request
  if (!isObject(object) || !isObject(object.spec)) {
    return answer({ allowed: false, status: { message: 'the request has no pod' } }, 'refused: no pod')
  }
  const pod = structuredClone({ ...object, metadata: object.metadata ?? {} }) as Pod
  // A pod that a controller makes has no namespace yet, and no name.
  pod.metadata.namespace ??= String(request.namespace ?? '')
  const name = `${pod.metadata.namespace}/${pod.metadata.name ?? `${pod.metadata.generateName ?? ''}*****`}`
  const reason = skipReason(pod, settings.values)
  if (reason !== undefined) return answer({ allowed: true }, `${name} skipped: ${reason}`)
  try {
    const before = structuredClone(pod)
    if (place.namespaceAnnotations !== undefined) forgetAssignedUser(pod)
    const injected = injectPod({
      pod,
      owner: ownerOf(pod),
      settings,
      proxyEnv: environmentOf(place.path),
      ...(place.namespaceAnnotations === undefined ? {} : { ids: proxyIds(place.namespaceAnnotations) }),
    })
    // The API server writes the namespace itself.
    const original = object.metadata as JsonObject | undefined
    if (original?.namespace === undefined) {
      delete before.metadata.namespace
      delete injected.metadata.namespace
    }
    const patch = jsonPatch(before, injected)
    // Where the pod had no metadata at all there is nothing to add to.
    if (original === undefined) patch.unshift({ op: 'add', path: '/metadata', value: {} })
    const encoded = Buffer.from(JSON.stringify(patch)).toString('base64')
    return answer({ allowed: true, patchType: 'JSONPatch', patch: encoded }, `${name} injected`)
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error
    const message = `Pod injection failed: ${error.message}`
    return answer({ allowed: false, status: { message } }, `${name} refused: ${error.message}`)
  }
}

function parseReview(text: string): { apiVersion: string; request: JsonObject } {
  let review: unknown
  try {
    review = JSON.parse(text)
  } catch (error) {
    throw new InjectionError(`could not decode body: ${(error as Error).message}`)
  }
  if (!isObject(review) || review.kind !== 'AdmissionReview' || !isObject(review.request))
    throw new InjectionError('expected an AdmissionReview with a request')
  const { apiVersion, request } = review
  if (apiVersion !== 'admission.k8s.io/v1' && apiVersion !== 'admission.k8s.io/v1beta1')
    throw new InjectionError(`unsupported apiVersion ${JSON.stringify(apiVersion)}`)
  if (typeof request.uid !== 'string') throw new InjectionError('the request has no uid')
  return { apiVersion, request }
}

/** Name of a pod's namespace in a review, before it is judged; empty where there is none. */
export function namespaceOf(text: string): string {
  try {
    const { request } = parseReview(text)
    return typeof request.namespace === 'string' ? request.namespace : ''
  } catch {
    return ''
  }
}

/** The node a pod is bound to already, which only a DaemonSet's or a hand-made one is; empty otherwise. */
export function nodeOf(text: string): string {
  try {
    const { object } = parseReview(text).request
    const spec = isObject(object) && isObject(object.spec) ? object.spec : {}
    return typeof spec.nodeName === 'string' ? spec.nodeName : ''
  } catch {
    return ''
  }
}

/** `/inject/k1/v1/k2/v2`: environment variables for the proxy; `--slash--` is a slash in a value (webhook.go, parseInjectEnvs). */
export function environmentOf(path: string): Record<string, string> {
  const parts = path.replace(/\/$/, '').split('/').slice(2)
  const out: Record<string, string> = {}
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const key = parts[i]!
    const name = SHORT_NAMES[key] ?? key.toUpperCase()
    if (name !== '') out[name] = parts[i + 1]!.replaceAll('--slash--', '/')
  }
  return out
}

const SHORT_NAMES: Readonly<Record<string, string>> = { cluster: 'ISTIO_META_CLUSTER_ID', net: 'ISTIO_META_NETWORK' }

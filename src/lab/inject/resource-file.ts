import { type Document, parseAllDocuments, stringify } from 'yaml'
import { type InjectionSettings, injectPod } from './injection.ts'
import {
  InjectionError,
  isObject,
  type JsonObject,
  type ObjectMeta,
  type Owner,
  type Pod,
  type PodSpec,
} from './kubernetes.ts'
import { ownerOf } from './owner.ts'
import { skipReason } from './policy.ts'
import { YAML_1_1 } from './yaml-dialect.ts'

/**
 * `remora inject`: the YAML (or JSON) documents of `text` with the proxy in every workload; documents of other kinds come out as they are.
 * `warn` hears which workloads are skipped. Throws InjectionError, with the workload's name.
 */
export function injectResources(text: string, settings: InjectionSettings, warn: (line: string) => void): string {
  const documents = parseAllDocuments(text, { ...YAML_1_1, keepSourceTokens: false, logLevel: 'error' })
  if (!Array.isArray(documents)) return ''
  let out = ''
  for (const document of documents as Document[]) {
    const broken = document.errors[0]
    if (broken !== undefined) throw new InjectionError(`not YAML: ${broken.message}`)
    const object: unknown = document.toJS({ maxAliasCount: 100 })
    if (object === null || object === undefined) continue
    const changed = isObject(object) ? injectObject(object, settings, warn) : undefined
    const same = (): string => text.slice(document.range?.[0], document.range?.[1]).trimEnd()
    out += `${changed === undefined ? same() : stringify(changed, { ...YAML_1_1, lineWidth: 0 }).trimEnd()}\n---\n`
  }
  return out
}

/** Undefined where nothing is changed: another kind, or a workload that is skipped. */
function injectObject(
  object: JsonObject,
  settings: InjectionSettings,
  warn: (line: string) => void,
): JsonObject | undefined {
  const kind = `${String(object.apiVersion)}/${String(object.kind)}`
  if (kind === 'v1/List') {
    const items = Array.isArray(object.items) ? object.items : []
    return { ...object, items: items.map(item => (isObject(item) && injectObject(item, settings, warn)) || item) }
  }
  if (kind === 'v1/Pod') {
    const pod = { ...object, metadata: metadataOf(object), spec: specOf(object, 'Pod') } as Pod
    return injectInto(pod, ownerOf(pod), settings, warn)
  }
  if (!WORKLOADS.has(kind)) return undefined

  const copy = structuredClone(object)
  const cron = kind === 'batch/v1/CronJob'
  const own = metadataOf(object)
  const owner: Owner = {
    apiVersion: String(object.apiVersion),
    kind: String(object.kind),
    name: own.name ?? '',
    namespace: own.namespace ?? '',
  }
  const outer = cron ? holder(holder(copy, 'spec', owner), 'jobTemplate', owner) : copy
  const template = holder(holder(outer, 'spec', owner), 'template', owner)
  const metadata = cron ? joined(metadataOf(outer), metadataOf(template)) : metadataOf(template)
  const pod = { metadata, spec: specOf(template, owner.kind) } as Pod
  const injected = injectInto(pod, owner, settings, warn)
  if (injected === undefined) return undefined
  template.metadata = injected.metadata
  template.spec = injected.spec
  // Istio's kube-inject reads and writes a CronJob's labels and annotations at the job's template, where no pod has them from; here both
  // places have them, so that its files mean the same and the pods are known as injected.
  if (cron) outer.metadata = structuredClone(injected.metadata)
  return copy
}

const WORKLOADS = new Set([
  'v1/ReplicationController',
  'apps/v1/Deployment',
  'apps/v1/StatefulSet',
  'apps/v1/DaemonSet',
  'apps/v1/ReplicaSet',
  'batch/v1/Job',
  'batch/v1/CronJob',
  'apps.openshift.io/v1/DeploymentConfig',
  // OpenShift before 3.6.
  'v1/DeploymentConfig',
])

function injectInto(
  pod: Pod,
  owner: Owner,
  settings: InjectionSettings,
  warn: (line: string) => void,
): Pod | undefined {
  const name = pod.metadata.name ?? owner.name
  const full = owner.namespace === '' ? name : `${owner.namespace}/${name}`
  // A template has no namespace; its workload's counts.
  const placed = { ...pod, metadata: { ...pod.metadata, namespace: pod.metadata.namespace ?? owner.namespace } }
  // Files are injected because somebody asked for it: only the workload itself can refuse.
  const { sidecarInjectorWebhook: webhook, global } = settings.values
  const asked = {
    ...settings.values,
    sidecarInjectorWebhook: { ...webhook, neverInjectSelector: [], alwaysInjectSelector: [] },
    global: { ...global, proxy: { ...global.proxy, autoInject: 'enabled' } },
  }
  const reason = skipReason(placed, asked)
  if (reason !== undefined) {
    const said =
      reason === 'host networking is enabled' ? 'has host networking enabled' : 'has sidecar injection disabled'
    warn(`===> Skipping injection because ${owner.kind} "${full}" ${said}`)
    return undefined
  }
  try {
    return injectPod({ pod, owner, settings })
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error
    throw new InjectionError(`${owner.kind} "${full}": ${error.message}`)
  }
}

function metadataOf(object: JsonObject): ObjectMeta {
  return isObject(object.metadata) ? (object.metadata as ObjectMeta) : {}
}

function joined(outer: ObjectMeta, inner: ObjectMeta): ObjectMeta {
  return {
    ...outer,
    ...inner,
    labels: { ...outer.labels, ...inner.labels },
    annotations: { ...outer.annotations, ...inner.annotations },
  }
}

function specOf(object: JsonObject, kind: string): PodSpec {
  if (!isObject(object.spec)) throw new InjectionError(`${kind} "${metadataOf(object).name}": the pod has no spec`)
  return object.spec as PodSpec
}

function holder(object: JsonObject, field: string, owner: Owner): JsonObject {
  const value = object[field]
  if (!isObject(value)) throw new InjectionError(`${owner.kind} "${owner.name}": ${field} is required`)
  return value
}

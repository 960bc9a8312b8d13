import type { NodeInfo } from '../config/services.ts'
import type { StructFields, StructValue } from '../config/struct-wire.ts'
import type { StateObject } from './format-operators-metadata.ts'

/** Filter state of the workload at the other end (istio/proxy extensions/common/metadata_object.h): as JSON, and with its fields. */
export const DOWNSTREAM_PEER = 'downstream_peer'
export const UPSTREAM_PEER = 'upstream_peer'
export const DOWNSTREAM_PEER_OBJECT = 'downstream_peer_obj'
export const UPSTREAM_PEER_OBJECT = 'upstream_peer_obj'
/** Filter state: the peer was asked for and is not known. */
export const NO_PEER = 'peer_not_found'

const CANONICAL_NAME = 'service.istio.io/canonical-name'
const CANONICAL_REVISION = 'service.istio.io/canonical-revision'
const OWNER_PREFIX = 'kubernetes://apis/apps/v1/namespaces/'
const TYPES = new Set(['pod', 'deployment', 'job', 'cronjob'])

export interface WorkloadFields {
  readonly instance: string
  readonly cluster: string
  readonly namespace: string
  readonly workload: string
  readonly canonicalName: string
  readonly canonicalRevision: string
  readonly app: string
  readonly version: string
  /** pod, deployment, job, cronjob or '' when it is not known. */
  readonly type: string
  readonly identity: string
  readonly region: string
  readonly zone: string
  readonly labels: readonly (readonly [string, string])[]
}

const NOTHING: WorkloadFields = {
  instance: '',
  cluster: '',
  namespace: '',
  workload: '',
  canonicalName: '',
  canonicalRevision: '',
  app: '',
  version: '',
  type: '',
  identity: '',
  region: '',
  zone: '',
  labels: [],
}

/** What Istio's proxies tell each other about themselves. */
export class WorkloadMetadata implements StateObject {
  readonly fields: WorkloadFields

  constructor(fields: Partial<WorkloadFields>) {
    this.fields = { ...NOTHING, ...fields }
  }

  /** `serializeAsProto`: without what is not known. */
  toJSON(): Record<string, unknown> {
    const f = this.fields
    const out: Record<string, unknown> = {}
    for (const [key, value] of [
      ['type', f.type],
      ['workload', f.workload],
      // As in the source: the name depends on the cluster being known.
      ['name', f.cluster === '' ? '' : f.instance],
      ['cluster', f.cluster],
      ['namespace', f.namespace],
      ['service', f.canonicalName],
      ['revision', f.canonicalRevision],
      ['app', f.app],
      ['version', f.version],
      ['identity', f.identity],
      ['region', f.region],
      ['availability_zone', f.zone],
    ] as const) {
      if (value !== '') out[key] = value
    }
    if (f.labels.length > 0) out['labels'] = Object.fromEntries(f.labels)
    return out
  }

  /** `serializeAsString` */
  toString(): string {
    const f = this.fields
    const pairs: [string, string][] = [
      ['type', f.type],
      ['workload', f.workload],
      ['name', f.instance],
      ['cluster', f.cluster],
      ['namespace', f.namespace],
      ['service', f.canonicalName],
      ['revision', f.canonicalRevision],
      ['app', f.app],
      ['version', f.version],
      ['region', f.region],
      ['availability_zone', f.zone],
    ]
    const known = pairs.filter(([, value]) => value !== '')
    for (const [key, value] of f.labels) known.push([`labels[]${key}`, value])
    return known.map(([key, value]) => `${key}=${value}`).join(',')
  }

  field(name: string): string | undefined {
    const f = this.fields
    switch (name) {
      case 'namespace':
        return f.namespace
      case 'cluster':
        return f.cluster
      case 'service':
        return f.canonicalName
      case 'revision':
        return f.canonicalRevision
      case 'app':
        return f.app
      case 'version':
        return f.version
      case 'workload':
        return f.workload
      case 'type':
        return f.type === '' ? 'unknown' : f.type
      case 'name':
        return f.instance
      case 'region':
        return f.region
      case 'availability_zone':
        return f.zone
    }
    return undefined
  }

  /** As it is sent to peers. */
  toStruct(): StructFields {
    const f = this.fields
    const out: Record<string, StructValue> = {}
    const labels: Record<string, StructValue> = {}
    const set = (target: Record<string, StructValue>, key: string, value: string): void => {
      if (value !== '') target[key] = value
    }
    set(out, 'NAME', f.instance)
    set(out, 'NAMESPACE', f.namespace)
    set(out, 'WORKLOAD_NAME', f.workload)
    set(out, 'CLUSTER_ID', f.cluster)
    set(out, 'IDENTITY', f.identity)
    set(labels, CANONICAL_NAME, f.canonicalName)
    set(labels, CANONICAL_REVISION, f.canonicalRevision)
    set(labels, 'app', f.app)
    set(labels, 'version', f.version)
    for (const [key, value] of f.labels) labels[key] = value
    out['LABELS'] = labels
    if (f.type !== '') out['OWNER'] = `${OWNER_PREFIX}${f.namespace}/${f.type}s/${f.workload}`
    set(out, 'REGION', f.region)
    set(out, 'AVAILABILITY_ZONE', f.zone)
    return out
  }

  /** The `baggage` header. */
  baggage(): string {
    const f = this.fields
    const parts: string[] = []
    const add = (key: string, value: string): void => {
      if (value !== '') parts.push(`${key}=${value}`)
    }
    add(`k8s.${f.type === '' ? 'pod' : f.type}.name`, f.workload)
    add('service.name', f.canonicalName)
    if (f.app !== f.canonicalName) add('app.name', f.app)
    add('service.version', f.canonicalRevision)
    if (f.version !== f.canonicalRevision) add('app.version', f.version)
    add('k8s.namespace.name', f.namespace)
    add('k8s.cluster.name', f.cluster)
    add('k8s.instance.name', f.instance)
    add('cloud.region', f.region)
    add('cloud.availability_zone', f.zone)
    return parts.join(',')
  }
}

/** This proxy, from its node. */
export function ownWorkload(node: NodeInfo, additionalLabels: readonly string[]): WorkloadMetadata {
  return workloadOfStruct(node.metadata, additionalLabels, node.region, node.zone)
}

/** `region` and `zone` fill in when the struct has none. */
export function workloadOfStruct(
  struct: Readonly<Record<string, unknown>>,
  additionalLabels: readonly string[],
  region = '',
  zone = '',
): WorkloadMetadata {
  const labels = struct['LABELS']
  const label = labels !== null && typeof labels === 'object' ? (labels as Record<string, unknown>) : {}
  const workload = text(struct, 'WORKLOAD_NAME')
  return new WorkloadMetadata({
    instance: text(struct, 'NAME'),
    cluster: text(struct, 'CLUSTER_ID'),
    namespace: text(struct, 'NAMESPACE'),
    workload,
    canonicalName: text(label, CANONICAL_NAME),
    canonicalRevision: text(label, CANONICAL_REVISION),
    app: text(label, 'app.kubernetes.io/name') || text(label, 'app'),
    version: text(label, 'app.kubernetes.io/version') || text(label, 'version'),
    type: ownerType(text(struct, 'OWNER'), workload),
    identity: text(struct, 'IDENTITY'),
    region: text(struct, 'REGION') || region,
    zone: text(struct, 'AVAILABILITY_ZONE') || zone,
    labels: additionalLabels.filter(name => Object.hasOwn(label, name)).map(name => [name, text(label, name)] as const),
  })
}

/** Endpoint metadata `istio.workload`: `workload;namespace;canonical name;canonical revision;cluster`. Null when it is not that. */
export function workloadOfEndpoint(encoded: string): WorkloadMetadata | null {
  const parts = encoded.split(';')
  if (parts.length < 5) return null
  const [workload = '', namespace = '', canonicalName = '', canonicalRevision = '', cluster = ''] = parts
  return new WorkloadMetadata({ workload, namespace, canonicalName, canonicalRevision, cluster })
}

const BAGGAGE: Readonly<Record<string, keyof WorkloadFields>> = {
  'k8s.namespace.name': 'namespace',
  'k8s.cluster.name': 'cluster',
  'k8s.deployment.name': 'workload',
  'k8s.pod.name': 'workload',
  'k8s.cronjob.name': 'workload',
  'k8s.job.name': 'workload',
  'k8s.instance.name': 'instance',
  'cloud.region': 'region',
  'cloud.availability_zone': 'zone',
}

/** Service and app stand in for each other, as do their versions. */
export function workloadOfBaggage(baggage: string): WorkloadMetadata {
  const f: Record<string, string> = {}
  for (const property of baggage.split(',')) {
    const equal = property.indexOf('=')
    const key = equal < 0 ? property : property.slice(0, equal)
    const value = equal < 0 ? '' : property.slice(equal + 1).split('=')[0]!
    if (key === 'service.name') {
      f['canonicalName'] = value
      f['app'] ||= value
    } else if (key === 'service.version') {
      f['canonicalRevision'] = value
      f['version'] ||= value
    } else if (key === 'app.name') {
      f['app'] = value
      f['canonicalName'] ||= value
    } else if (key === 'app.version') {
      f['version'] = value
      f['canonicalRevision'] ||= value
    } else if (Object.hasOwn(BAGGAGE, key)) {
      const name = BAGGAGE[key]!
      f[name] = value
      if (name === 'workload') f['type'] = key.split('.')[1]!
    }
  }
  return new WorkloadMetadata(f)
}

/** `kubernetes://apis/apps/v1/namespaces/<ns>/<type>s/<workload>` */
function ownerType(owner: string, workload: string): string {
  if (owner.length <= workload.length + 2) return ''
  const rest = owner.slice(0, owner.length - workload.length - 2)
  const slash = rest.lastIndexOf('/')
  const type = slash < 0 ? '' : rest.slice(slash + 1)
  return TYPES.has(type) ? type : ''
}

function text(struct: Readonly<Record<string, unknown>>, key: string): string {
  const value = Object.hasOwn(struct, key) ? struct[key] : undefined
  return typeof value === 'string' ? value : ''
}

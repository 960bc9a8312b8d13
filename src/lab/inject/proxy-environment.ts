import type { EnvVar, JsonObject } from './kubernetes.ts'
import { differingFields } from './mesh-config.ts'
import { annotation, applicationNames, metadataOf, type TemplateInput } from './template-input.ts'

/** Environment of the container istio-proxy; `gateway` leaves out what only sidecars have. */
export function proxyEnvironment(input: TemplateInput, gateway: boolean): EnvVar[] {
  const { values, annotations, mesh, owner } = input
  const { global } = values
  const env: EnvVar[] = []
  const add = (name: string, value: string): void => void env.push({ name, value })
  const from = (name: string, fieldPath: string): void =>
    void env.push({ name, valueFrom: { fieldRef: { fieldPath } } })
  const limit = (name: string, resource: string): void =>
    void env.push({ name, valueFrom: { resourceFieldRef: { resource, divisor: '1' } } })

  if (!gateway && mesh.inboundTrafficPolicyMode === 'localhost')
    add('REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION', 'true')
  add('PILOT_CERT_PROVIDER', global.pilotCertProvider)
  const istiod = values.revision === '' ? 'istiod' : `istiod-${values.revision}`
  add('CA_ADDR', global.caAddress || `${istiod}.${global.istioNamespace}.svc:15012`)
  from('POD_NAME', 'metadata.name')
  from('POD_NAMESPACE', 'metadata.namespace')
  from('INSTANCE_IP', 'status.podIP')
  from('SERVICE_ACCOUNT', 'spec.serviceAccountName')
  from('HOST_IP', 'status.hostIP')
  limit('ISTIO_CPU_LIMIT', 'limits.cpu')
  add('PROXY_CONFIG', `${JSON.stringify(differingFields(input.proxyConfig))}\n`)
  add('ISTIO_META_POD_PORTS', podPorts(input))
  if (!gateway) add('ISTIO_META_APP_CONTAINERS', applicationNames(input).join(','))
  limit('GOMEMLIMIT', 'limits.memory')
  if (input.compliancePolicy !== '') add('COMPLIANCE_POLICY', input.compliancePolicy)
  if (input.compliancePolicy === 'fips-140-3') add('GODEBUG', 'fips140=only')
  if (gateway) add('ISTIO_META_APP_CONTAINERS', applicationNames(input).join(','))
  add('ISTIO_META_CLUSTER_ID', global.multiCluster.clusterName || 'Kubernetes')
  from('ISTIO_META_NODE_NAME', 'spec.nodeName')
  const mode = String(input.proxyConfig.interceptionMode ?? 'REDIRECT')
  add('ISTIO_META_INTERCEPTION_MODE', gateway ? mode : annotations['sidecar.istio.io/interceptionMode'] || mode)
  if (global.network !== '') add('ISTIO_META_NETWORK', global.network)
  const workload = (gateway ? '' : input.labels['service.istio.io/workload-name']) || owner.name
  if (workload !== '') add('ISTIO_META_WORKLOAD_NAME', workload)
  if (owner.apiVersion !== '' && owner.name !== '') {
    const path = `${owner.namespace || 'default'}/${owner.kind.toLowerCase()}s/${owner.name}`
    add('ISTIO_META_OWNER', `kubernetes://apis/${owner.apiVersion}/namespaces/${path}`)
  }
  if (annotations['sidecar.istio.io/bootstrapOverride'] !== undefined)
    add('ISTIO_BOOTSTRAP_OVERRIDE', '/etc/istio/custom-bootstrap/custom_bootstrap.json')
  const trustDomain = mesh.trustDomain || global.trustDomain
  if (global.meshID || trustDomain) add('ISTIO_META_MESH_ID', global.meshID || trustDomain)
  if (trustDomain !== '') add('TRUST_DOMAIN', trustDomain)
  if (!gateway) {
    for (const [name, value] of datadog(input)) add(name, value)
    const attributes = otelAttributes(input)
    if (attributes !== '') add('OTEL_RESOURCE_ATTRIBUTES', attributes)
  }
  for (const [name, value] of metadataOf(input.proxyConfig)) add(name, value)
  return env
}

function podPorts(input: TemplateInput): string {
  const ports = (input.spec.containers ?? []).flatMap(container => container.ports ?? [])
  return ports.length === 0 ? '[\n]' : `[\n    ${ports.map(port => JSON.stringify(port)).join('\n    ,')}\n]`
}

function datadog(input: TemplateInput): [string, string][] {
  const text = annotation(input, 'apm.datadoghq.com/env', '')
  if (input.values.global.proxy.tracer !== 'datadog' || text === '') return []
  try {
    return Object.entries(JSON.parse(text) as JsonObject).map(([name, value]) => [name, String(value)])
  } catch {
    return []
  }
}

/** OpenTelemetry's attributes of a service in Kubernetes (template.go, otelResourceAttributes). */
function otelAttributes(input: TemplateInput): string {
  if (!input.mesh.otelSemanticConventions) return ''
  const { annotations, labels, owner } = input
  const containers = input.spec.containers ?? []
  const out: string[] = []
  const wanted = (name: string): string => annotations[`resource.opentelemetry.io/${name}`] ?? ''
  const namespace = wanted('service.namespace') || owner.namespace
  if (namespace !== '') out.push(`service.namespace=${namespace}`)
  const ofImage = containers.length === 1 ? imageVersion(containers[0]!.image ?? '') : ''
  const version = wanted('service.version') || labels['app.kubernetes.io/version'] || ofImage
  if (version !== '') out.push(`service.version=${version}`)
  const instance =
    wanted('service.instance.id') ||
    (containers.length > 0 ? `${owner.namespace}.$(POD_NAME).${containers[0]!.name}` : '')
  if (instance !== '') out.push(`service.instance.id=${instance}`)
  return out.join(',')
}

/** Tag, digest or `tag@digest` of [registry[:port]/]name[:tag][@digest]. */
function imageVersion(image: string): string {
  const at = image.indexOf('@')
  const name = at < 0 ? image : image.slice(0, at)
  const digest = at < 0 ? '' : image.slice(at + 1)
  const colon = name.lastIndexOf(':')
  const tag = colon > name.lastIndexOf('/') ? name.slice(colon + 1) : ''
  return tag !== '' && digest !== '' ? `${tag}@${digest}` : digest || tag
}

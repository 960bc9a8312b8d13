import { InjectionError, isObject, type JsonObject } from './kubernetes.ts'
import type { TemplateInput } from './template-input.ts'

export interface ProxyVolumes {
  readonly volumes: JsonObject[]
  readonly volumeMounts: JsonObject[]
}

/** Volumes of the container istio-proxy and where they are mounted; `gateway` leaves out what only sidecars have. */
export function proxyVolumes(input: TemplateInput, gateway: boolean): ProxyVolumes {
  const { annotations, values } = input
  const { global } = values
  const volumes: JsonObject[] = []
  const volumeMounts: JsonObject[] = []
  const mount = (name: string, mountPath: string, readOnly = false): void =>
    void volumeMounts.push(readOnly ? { name, mountPath, readOnly } : { name, mountPath })
  const add = (name: string, source: JsonObject): void => void volumes.push({ name, ...source })

  add('workload-socket', { emptyDir: {} })
  mount('workload-socket', '/var/run/secrets/workload-spiffe-uds')
  add('credential-socket', { emptyDir: {} })
  mount('credential-socket', '/var/run/secrets/credential-uds')
  if (global.caName === 'GkeWorkloadCertificate') {
    add('gke-workload-certificate', { csi: { driver: 'workloadcertificates.security.cloud.google.com' } })
    mount('gke-workload-certificate', '/var/run/secrets/workload-spiffe-credentials', true)
  } else {
    add('workload-certs', { emptyDir: {} })
    mount('workload-certs', '/var/run/secrets/workload-spiffe-credentials')
  }
  const override = annotations['sidecar.istio.io/bootstrapOverride']
  if (override !== undefined) {
    add('custom-bootstrap-volume', { configMap: { name: override } })
    mount('custom-bootstrap-volume', '/etc/istio/custom-bootstrap')
  }
  add('istio-envoy', { emptyDir: { medium: 'Memory' } })
  add('istio-data', { emptyDir: {} })
  const label = (name: string): JsonObject => ({ path: name, fieldRef: { fieldPath: `metadata.${name}` } })
  add('istio-podinfo', { downwardAPI: { items: [label('labels'), label('annotations')] } })
  const token = { path: 'istio-token', expirationSeconds: 43200, audience: global.sds.token.aud }
  add('istio-token', { projected: { sources: [{ serviceAccountToken: token }] } })
  const istiod = global.pilotCertProvider === 'istiod'
  if (istiod) {
    add('istiod-ca-cert', rootCertificate(input))
    mount('istiod-ca-cert', '/var/run/secrets/istio')
  }
  if (!gateway) {
    if (istiod) mount('istio-ca-crl', '/var/run/secrets/istio/crl')
    add('istio-ca-crl', { configMap: { name: values.pilot.crlConfigMapName || 'istio-ca-crl', optional: true } })
  }
  mount('istio-data', '/var/lib/istio/data')
  mount('istio-envoy', '/etc/istio/proxy')
  mount('istio-token', '/var/run/secrets/tokens')
  if (global.mountMtlsCerts) {
    add('istio-certs', {
      secret: { optional: true, secretName: `istio.${input.spec.serviceAccountName || 'default'}` },
    })
    mount('istio-certs', '/etc/certs/', true)
  }
  mount('istio-podinfo', '/etc/istio/pod')
  if (!gateway) {
    lightstep(input, add, mount)
    for (const [name, given] of named(input, 'sidecar.istio.io/userVolumeMount')) volumeMounts.push({ name, ...given })
    for (const [name, given] of named(input, 'sidecar.istio.io/userVolume')) add(name, given)
  }
  return { volumes, volumeMounts }
}

function rootCertificate(input: TemplateInput): JsonObject {
  const { trustBundleName } = input.values.global
  if (input.values.pilot.env.ENABLE_CLUSTER_TRUST_BUNDLE_API !== true)
    return { configMap: { name: trustBundleName || 'istio-ca-root-cert' } }
  const clusterTrustBundle = { name: `istio.io:istiod-ca:${trustBundleName || 'root-cert'}`, path: 'root-cert.pem' }
  return { projected: { sources: [{ clusterTrustBundle }] } }
}

function lightstep(
  input: TemplateInput,
  add: (name: string, source: JsonObject) => void,
  mount: (name: string, path: string, readOnly: boolean) => void,
): void {
  const tracing = input.proxyConfig.tracing
  const tls = isObject(tracing) ? tracing.tlsSettings : undefined
  if (input.values.global.proxy.tracer !== 'lightstep' || !isObject(tls)) return
  const file = String(tls.caCertificates ?? '')
  add('lightstep-certs', { secret: { optional: true, secretName: 'lightstep.cacert' } })
  mount('lightstep-certs', file.slice(0, file.lastIndexOf('/') + 1), true)
}

function named(input: TemplateInput, name: string): [string, JsonObject][] {
  const text = input.annotations[name]
  if (text === undefined) return []
  let map: unknown
  try {
    map = JSON.parse(text)
  } catch (error) {
    throw new InjectionError(`invalid value for annotation '${name}': ${(error as Error).message}`)
  }
  if (!isObject(map) || !Object.values(map).every(isObject))
    throw new InjectionError(`invalid value for annotation '${name}': expected a JSON object of objects`)
  return Object.entries(map as Record<string, JsonObject>).sort((a, b) => (a[0] < b[0] ? -1 : 1))
}

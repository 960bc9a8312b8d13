import { parse } from 'yaml'
import { InjectionError, isObject, type JsonObject } from './kubernetes.ts'
import { YAML_1_1 } from './yaml-dialect.ts'

/** Helm values of Istio's istiod chart that its injection template reads; the rest of such a file is for other components. */
export interface Values {
  readonly revision: string
  readonly global: {
    readonly hub: string
    readonly tag: string | number
    readonly variant: string
    readonly imagePullPolicy: string
    readonly imagePullSecrets: readonly string[]
    readonly logAsJson: boolean
    readonly nativeNftables: boolean
    readonly logging: { readonly level: string }
    readonly istioNamespace: string
    readonly caAddress: string
    readonly caName: string
    readonly meshID: string
    readonly trustDomain: string
    readonly trustBundleName: string
    readonly mountMtlsCerts: boolean
    readonly multiCluster: { readonly clusterName: string }
    readonly network: string
    readonly pilotCertProvider: string
    readonly sds: { readonly token: { readonly aud: string } }
    readonly sts: { readonly servicePort: number }
    readonly proxy_init: { readonly image: string; readonly forceApplyIptables: boolean }
    readonly proxy: {
      readonly image: string
      readonly autoInject: string
      readonly clusterDomain: string
      readonly componentLogLevel: string
      readonly logLevel: string
      readonly outlierLogPath: string
      readonly excludeInboundPorts: string
      readonly includeInboundPorts: string
      readonly includeIPRanges: string
      readonly excludeIPRanges: string
      readonly includeOutboundPorts: string
      readonly excludeOutboundPorts: string
      readonly privileged: boolean
      readonly seccompProfile: JsonObject
      readonly lifecycle: JsonObject | null
      readonly holdApplicationUntilProxyStarts: boolean
      readonly capNetBindService: boolean | string
      readonly readinessFailureThreshold: number
      readonly readinessInitialDelaySeconds: number
      readonly readinessPeriodSeconds: number
      readonly startupProbe: { readonly enabled: boolean; readonly failureThreshold: number }
      readonly resources: JsonObject
      readonly statusPort: number
      readonly tracer: string
    }
  }
  readonly pilot: {
    readonly cni: { readonly enabled: boolean; readonly provider: string }
    readonly env: JsonObject
    readonly crlConfigMapName: string
  }
  readonly sidecarInjectorWebhook: {
    readonly rewriteAppHTTPProbe: boolean
    readonly neverInjectSelector: readonly JsonObject[]
    readonly alwaysInjectSelector: readonly JsonObject[]
    readonly injectedAnnotations: Readonly<Record<string, string>>
    readonly defaultTemplates: readonly string[]
  }
  readonly gateways: { readonly securityContext: JsonObject }
}

/** Defaults of the chart, manifests/charts/istio-control/istio-discovery/values.yaml. */
export const DEFAULT_VALUES: Values = {
  revision: '',
  global: {
    hub: 'registry.istio.io/testing',
    tag: 'latest',
    variant: '',
    imagePullPolicy: '',
    imagePullSecrets: [],
    logAsJson: false,
    nativeNftables: false,
    logging: { level: 'default:info' },
    istioNamespace: 'istio-system',
    caAddress: '',
    caName: '',
    meshID: '',
    trustDomain: '',
    trustBundleName: '',
    mountMtlsCerts: false,
    multiCluster: { clusterName: '' },
    network: '',
    pilotCertProvider: 'istiod',
    sds: { token: { aud: 'istio-ca' } },
    sts: { servicePort: 0 },
    proxy_init: { image: 'proxyv2', forceApplyIptables: false },
    proxy: {
      image: 'proxyv2',
      autoInject: 'enabled',
      clusterDomain: 'cluster.local',
      componentLogLevel: 'misc:error',
      logLevel: 'warning',
      outlierLogPath: '',
      excludeInboundPorts: '',
      includeInboundPorts: '*',
      includeIPRanges: '*',
      excludeIPRanges: '',
      includeOutboundPorts: '',
      excludeOutboundPorts: '',
      privileged: false,
      seccompProfile: {},
      lifecycle: null,
      holdApplicationUntilProxyStarts: false,
      capNetBindService: '',
      readinessFailureThreshold: 4,
      readinessInitialDelaySeconds: 0,
      readinessPeriodSeconds: 15,
      startupProbe: { enabled: true, failureThreshold: 600 },
      resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2', memory: '1Gi' } },
      statusPort: 15020,
      tracer: 'none',
    },
  },
  pilot: { cni: { enabled: false, provider: 'default' }, env: {}, crlConfigMapName: '' },
  sidecarInjectorWebhook: {
    rewriteAppHTTPProbe: true,
    neverInjectSelector: [],
    alwaysInjectSelector: [],
    injectedAnnotations: {},
    defaultTemplates: [],
  },
  gateways: { securityContext: {} },
}

/**
 * Values of an installation, YAML or JSON (the key `values` of ConfigMap istio-sidecar-injector), over the defaults.
 * Throws InjectionError where a field has another type than its default.
 */
export function parseValues(text: string): Values {
  const given: unknown = parse(text, YAML_1_1)
  if (given === null || given === undefined) return DEFAULT_VALUES
  if (!isObject(given)) throw new InjectionError('values: expected a mapping')
  return overlay(DEFAULT_VALUES as unknown as JsonObject, given, 'values') as unknown as Values
}

/** Kubernetes' own maps: what is in them is up to the user, and a null there removes (omitNil in the template). */
const FREE = new Set(['resources', 'seccompProfile', 'lifecycle', 'env', 'injectedAnnotations', 'securityContext'])

function overlay(defaults: JsonObject, given: JsonObject, at: string): JsonObject {
  const out: JsonObject = { ...defaults }
  for (const [field, value] of Object.entries(given)) {
    const old = defaults[field]
    const path = `${at}.${field}`
    // Helm takes null as "use the default", and what the template does not read is none of its business.
    if (old === undefined || value === undefined || (value === null && !FREE.has(field))) continue
    if (field === 'resources') out[field] = mergeResources(old as JsonObject, value as JsonObject)
    else if (FREE.has(field)) out[field] = value
    else if (isObject(old)) {
      if (!isObject(value)) throw new InjectionError(`${path}: expected a mapping`)
      out[field] = overlay(old, value, path)
    } else if (Array.isArray(old) !== Array.isArray(value) || isObject(value)) {
      throw new InjectionError(`${path}: expected ${Array.isArray(old) ? 'a list' : `a ${typeof old}`}`)
    } else out[field] = value
  }
  return out
}

/** requests and limits key by key; a null takes the default's key away. */
function mergeResources(defaults: JsonObject, given: JsonObject | null): JsonObject {
  if (given === null) return {}
  const out: JsonObject = { ...defaults }
  for (const [list, amounts] of Object.entries(given)) {
    const merged: JsonObject = {}
    for (const [name, amount] of Object.entries({ ...(out[list] as JsonObject), ...(amounts as JsonObject | null) })) {
      if (amount !== null) merged[name] = amount
    }
    if (amounts === null || Object.keys(merged).length === 0) delete out[list]
    else out[list] = merged
  }
  return out
}

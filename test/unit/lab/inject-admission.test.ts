import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { admit, environmentOf } from '../../../src/lab/inject/admission.ts'
import type { InjectionSettings } from '../../../src/lab/inject/injection.ts'
import type { JsonObject, Pod } from '../../../src/lab/inject/kubernetes.ts'
import { parseMeshConfig } from '../../../src/lab/inject/mesh-config.ts'
import { parseValues } from '../../../src/lab/inject/values.ts'
import { normalised } from '../../harness/istio-objects.ts'
import { applyPatch } from '../../harness/json-patch.ts'

function settings(values: object = {}, native = false): InjectionSettings {
  return {
    values: parseValues(JSON.stringify(values)),
    mesh: parseMeshConfig(''),
    revision: '',
    nativeSidecar: native,
    compliancePolicy: '',
  }
}

function review(object: unknown, namespace = 'shop', apiVersion = 'admission.k8s.io/v1'): string {
  return JSON.stringify({ apiVersion, kind: 'AdmissionReview', request: { uid: 'u-1', namespace, object } })
}

interface Response {
  readonly uid: string
  readonly allowed: boolean
  readonly patch?: string
  readonly patchType?: string
  readonly status?: { readonly message: string }
}

function ask(object: JsonObject, with_ = settings(), place: Parameters<typeof admit>[2] = { path: '/inject' }) {
  const { review: answer } = admit(review(object), with_, place)
  const response = answer.response as unknown as Response
  const patch = response.patch === undefined ? [] : JSON.parse(Buffer.from(response.patch, 'base64').toString())
  return { answer, response, pod: applyPatch(object, patch) as Pod, patch: patch as unknown[] }
}

const POD: JsonObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    generateName: 'web-6d4cf56db6-',
    labels: { app: 'web', 'pod-template-hash': '6d4cf56db6' },
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-6d4cf56db6', uid: 'x', controller: true },
    ],
  },
  spec: {
    containers: [
      { name: 'web', image: 'web:1', readinessProbe: { httpGet: { path: '/ok', port: 8080 }, timeoutSeconds: 2 } },
    ],
  },
}

function environment(pod: Pod): Record<string, string> {
  const proxy = [...pod.spec.containers!, ...(pod.spec.initContainers ?? [])].find(c => c.name === 'istio-proxy')!
  return Object.fromEntries(proxy.env!.map(({ name, value }) => [name, value ?? '']))
}

t.test('a pod is answered with a JSONPatch that puts the proxy in, and its controller is named', t => {
  const { answer, response, pod } = ask(POD)
  t.match(answer, { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' })
  t.match(response, { uid: 'u-1', allowed: true, patchType: 'JSONPatch' })
  t.same(
    pod.spec.containers!.map(c => c.name),
    ['web', 'istio-proxy'],
  )
  t.same(
    pod.spec.initContainers!.map(c => c.name),
    ['istio-init'],
  )
  t.match(environment(pod), {
    ISTIO_META_WORKLOAD_NAME: 'web',
    ISTIO_META_OWNER: 'kubernetes://apis/apps/v1/namespaces/shop/deployments/web',
    ISTIO_KUBE_APP_PROBERS: '{"/app-health/web/readyz":{"httpGet":{"path":"/ok","port":8080},"timeoutSeconds":2}}',
  })
  t.match(pod.spec.containers![0], { readinessProbe: { httpGet: { path: '/app-health/web/readyz', port: 15020 } } })
  t.notOk(pod.metadata.namespace, 'the namespace is left to the API server')
  t.end()
})

t.test('a second review of the injected pod changes nothing', t => {
  const { pod } = ask(POD)
  t.same(ask(pod).patch, [])
  t.same(ask(ask(POD, settings({}, true)).pod, settings({}, true)).patch, [], 'nor with a native sidecar')
  t.end()
})

t.test('an answer has the version of its question', t => {
  const { review: answer } = admit(review(POD, 'shop', 'admission.k8s.io/v1beta1'), settings(), { path: '/inject' })
  t.equal(answer.apiVersion, 'admission.k8s.io/v1beta1')
  t.throws(() => admit(review(POD, 'shop', 'admission.k8s.io/v2'), settings(), { path: '/' }), /unsupported apiVersion/)
  t.throws(() => admit('{', settings(), { path: '/' }), /could not decode/)
  t.throws(() => admit('{"kind":"AdmissionReview"}', settings(), { path: '/' }), /with a request/)
  t.end()
})

t.test('pods that refuse, and pods that must not be injected, are allowed as they are', t => {
  const spec = POD.spec as JsonObject
  const refused = { ...POD, metadata: { labels: { 'sidecar.istio.io/inject': 'false' } } }
  t.same(ask(refused).response, { uid: 'u-1', allowed: true })
  const annotated = { ...POD, metadata: { annotations: { 'sidecar.istio.io/inject': 'false' } } }
  t.same(ask(annotated).response, { uid: 'u-1', allowed: true })
  const both = {
    ...POD,
    metadata: { labels: { 'sidecar.istio.io/inject': 'true' }, annotations: { 'sidecar.istio.io/inject': 'false' } },
  }
  t.ok(ask(both).response.patch, 'the label is the newer word')
  t.same(ask({ ...POD, spec: { ...spec, hostNetwork: true } }).response, { uid: 'u-1', allowed: true })
  const system = admit(review(POD, 'kube-system'), settings(), { path: '/inject' }).review
  t.same(system.response, { uid: 'u-1', allowed: true })
  t.end()
})

t.test('the policy of the installation decides where the pod says nothing', t => {
  const disabled = { global: { proxy: { autoInject: 'disabled' } } }
  t.notOk(ask(POD, settings(disabled)).response.patch)
  const always = { sidecarInjectorWebhook: { alwaysInjectSelector: [{ matchLabels: { app: 'web' } }] } }
  t.ok(ask(POD, settings({ ...disabled, ...always })).response.patch)
  const expression = { key: 'app', operator: 'In', values: ['web'] }
  const never = { sidecarInjectorWebhook: { neverInjectSelector: [{ matchExpressions: [expression] }] } }
  t.notOk(ask(POD, settings(never)).response.patch)
  t.end()
})

t.test('an annotation that cannot be used refuses the pod and says why', t => {
  const wrong: Readonly<Record<string, string>> = {
    'traffic.sidecar.istio.io/excludeInboundPorts': '99999',
    'sidecar.istio.io/interceptionMode': 'redirect',
    'sidecar.istio.io/proxyCPU': '100 m',
    'status.sidecar.istio.io/port': 'x',
    'readiness.status.sidecar.istio.io/periodSeconds': '-1',
    'traffic.sidecar.istio.io/excludeInterfaces': 'eth0;reboot',
    'proxy.istio.io/config': 'concurency: 2',
    'proxy.istio.io/overrides': '{',
    'sidecar.istio.io/userVolume': '[]',
    'inject.istio.io/templates': 'sidecar,other',
  }
  for (const [name, value] of Object.entries(wrong)) {
    const { response } = ask({ ...POD, metadata: { annotations: { [name]: value } } })
    t.equal(response.allowed, false, name)
    t.match(response.status?.message, /^Pod injection failed: /)
  }
  t.end()
})

t.test('metrics of the application cannot be scraped at ports of the proxy', t => {
  const annotations = { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '15000' }
  t.match(
    ask({ ...POD, metadata: { annotations } }).response.status?.message,
    /15000 is reserved for Istio \(Envoy admin\)/,
  )
  t.end()
})

t.test('the path of the webhook names cluster and network', t => {
  const { pod } = ask(POD, settings(), { path: '/inject/cluster/east/net/n1/custom/a--slash--b' })
  t.match(environment(pod), { ISTIO_META_CLUSTER_ID: 'east', ISTIO_META_NETWORK: 'n1', CUSTOM: 'a/b' })
  t.equal(pod.metadata.labels?.['topology.istio.io/network'], 'n1')
  t.same(environmentOf('/inject'), {})
  t.same(environmentOf('/inject/cluster'), {}, 'a key without a value counts for nothing')
  t.end()
})

const folder = new URL('../../fixtures/istio/inject/', import.meta.url)
const cases = JSON.parse(readFileSync(new URL('cases.json', folder), 'utf8')) as {
  readonly in: string
  readonly want: string
  readonly values: object
  readonly openshift?: boolean
}[]

for (const entry of cases.filter(({ openshift }) => openshift === true)) {
  t.test(`on OpenShift the proxy's ids are the namespace's: Istio's golden file ${entry.want}`, t => {
    const template = (name: string): JsonObject => {
      const { kind, metadata, spec } = parse(readFileSync(new URL(name, folder), 'utf8').split(/^---$/m)[0]!)
      return kind === 'Pod' ? { metadata, spec } : { ...spec.template, metadata: { ...spec.template.metadata } }
    }
    const block = '1000620000/10000'
    const namespaceAnnotations = {
      'openshift.io/sa.scc.uid-range': block,
      'openshift.io/sa.scc.supplemental-groups': block,
    }
    const { pod } = ask(template(entry.in), settings(entry.values, true), { path: '/inject', namespaceAnnotations })
    const comparable = (pod: JsonObject): unknown => {
      const copy = structuredClone(pod) as unknown as Pod
      // Names of the workload: a bare template has none.
      for (const container of [...copy.spec.containers!, ...copy.spec.initContainers!])
        container.env = (container.env ?? []).filter(({ name }) => !/^ISTIO_META_(OWNER|WORKLOAD_NAME)$/.test(name))
      delete copy.metadata.labels!['service.istio.io/canonical-name']
      delete copy.metadata.namespace
      return normalised(copy)
    }
    t.same(comparable(pod), comparable(template(entry.want)))
    t.end()
  })
}

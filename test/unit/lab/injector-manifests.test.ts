import { X509Certificate } from 'node:crypto'
import { MutatingWebhookConfiguration } from 'kubernetes-models/admissionregistration.k8s.io/v1/MutatingWebhookConfiguration'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { ClusterRole } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRole'
import { ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRoleBinding'
import { Pod as PodModel } from 'kubernetes-models/v1/Pod'
import { Secret } from 'kubernetes-models/v1/Secret'
import { Service } from 'kubernetes-models/v1/Service'
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import t from 'tap'
import { injectPod } from '../../../src/lab/inject/injection.ts'
import { injectorManifests } from '../../../src/lab/inject/injector-manifests.ts'
import type { JsonObject, Pod } from '../../../src/lab/inject/kubernetes.ts'
import { parseMeshConfig } from '../../../src/lab/inject/mesh-config.ts'
import { ownerOf } from '../../../src/lab/inject/owner.ts'
import { matchesSelector } from '../../../src/lab/inject/policy.ts'
import { makeServingCertificate } from '../../../src/lab/inject/serving-certificate.ts'
import { parseValues } from '../../../src/lab/inject/values.ts'

type Model = new (data: never) => { validate(): void }
/** Types made of Kubernetes' OpenAPI schema, which check at run time. */
const MODELS: Readonly<Record<string, Model>> = {
  ServiceAccount,
  ClusterRole,
  ClusterRoleBinding,
  Secret,
  Deployment,
  Service,
  MutatingWebhookConfiguration,
}

const names = ['remora-injector.mesh.svc']
const certificate = makeServingCertificate(names)
const manifests = (revision = ''): JsonObject[] =>
  injectorManifests({ namespace: 'mesh', image: 'localhost/remora:dev', revision, certificate })

t.test('every manifest is what the schema of its kind says', t => {
  for (const manifest of manifests()) {
    const model = MODELS[String(manifest.kind)]!
    t.doesNotThrow(() => new model(manifest as never).validate(), String(manifest.kind))
  }
  t.throws(() => new Deployment({ spec: {} } as never).validate(), 'a Deployment without a selector does not pass')
  t.end()
})

t.test('injected pods are what the schema of Pod says', t => {
  for (const nativeSidecar of [false, true]) {
    for (const templates of ['sidecar', 'gateway']) {
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'web', annotations: { 'inject.istio.io/templates': templates } },
        spec: { containers: [{ name: 'web', image: 'web:1' }] },
      } as Pod
      const settings = {
        values: parseValues(''),
        mesh: parseMeshConfig(''),
        revision: '',
        nativeSidecar,
        compliancePolicy: '',
      }
      const injected = injectPod({ pod, owner: ownerOf(pod), settings })
      t.doesNotThrow(() => new PodModel(injected as never).validate(), `${templates}, native ${nativeSidecar}`)
    }
  }
  t.end()
})

t.test('the certificate is for the service and comes from the authority in the webhook', t => {
  const cert = new X509Certificate(certificate.cert)
  t.ok(cert.checkHost('remora-injector.mesh.svc'))
  t.ok(cert.verify(new X509Certificate(certificate.ca).publicKey))
  const hooks = manifests().at(-1)!.webhooks as { clientConfig: { caBundle: string } }[]
  t.equal(Buffer.from(hooks[0]!.clientConfig.caBundle, 'base64').toString(), certificate.ca)
  t.end()
})

/** How many webhooks of a revision take a pod with these labels in a namespace with those. */
function takers(revision: string, namespace: Record<string, string>, pod: Record<string, string>): number {
  const hooks = manifests(revision).at(-1)!.webhooks as { namespaceSelector: JsonObject; objectSelector: JsonObject }[]
  return hooks.filter(
    ({ namespaceSelector, objectSelector }) =>
      matchesSelector(namespaceSelector, namespace) && matchesSelector(objectSelector, pod),
  ).length
}

t.test('labels of namespace and pod decide who is injected, and nobody is asked twice', t => {
  const enabled = { 'istio-injection': 'enabled' }
  const off = { 'istio-injection': 'disabled' }
  const yes = { 'sidecar.istio.io/inject': 'true' }
  const no = { 'sidecar.istio.io/inject': 'false' }
  const canary = { 'istio.io/rev': 'canary' }
  const rows: [revision: string, namespace: Record<string, string>, pod: Record<string, string>, takers: number][] = [
    ['', enabled, {}, 1],
    ['', enabled, no, 0],
    ['', enabled, yes, 1],
    ['', off, {}, 0],
    ['', off, yes, 0],
    ['', {}, {}, 0],
    ['', {}, yes, 1],
    ['', canary, {}, 0],
    ['', { 'istio.io/rev': 'default' }, {}, 1],
    ['', { ...enabled, 'istio.io/rev': 'default' }, {}, 1],
    ['', {}, { 'istio.io/rev': 'default' }, 1],
    ['canary', canary, {}, 1],
    ['canary', canary, no, 0],
    ['canary', {}, canary, 1],
    ['canary', {}, { ...canary, ...no }, 0],
    ['canary', enabled, {}, 0],
    ['canary', { ...enabled, ...canary }, {}, 0],
    ['canary', {}, yes, 0],
  ]
  for (const [revision, namespace, pod, count] of rows)
    t.equal(takers(revision, namespace, pod), count, JSON.stringify([revision, namespace, pod]))
  t.end()
})

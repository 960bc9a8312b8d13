import type { JsonObject } from './kubernetes.ts'
import type { ServingCertificate } from './serving-certificate.ts'

export interface ManifestOptions {
  readonly namespace: string
  readonly image: string
  /** Istio's revision; empty or `default` serves istio-injection=enabled too. */
  readonly revision: string
  readonly certificate: ServingCertificate
}

const NAME = 'remora-injector'
const PORT = 9443

/** All that `remora injector` needs in a cluster, in the order in which it is to be applied. */
export function injectorManifests(options: ManifestOptions): JsonObject[] {
  const { namespace, certificate } = options
  const labels = { app: NAME, 'app.kubernetes.io/name': NAME, 'istio.io/rev': options.revision || 'default' }
  const metadata = { name: NAME, namespace, labels }
  const clusterWide = { name: `${NAME}-${namespace}`, labels }
  const read = (resources: string[], verbs: string[]): JsonObject => ({ apiGroups: [''], resources, verbs })
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: clusterWide,
      // Nodes: do all of them know native sidecars? Namespaces: OpenShift's ranges of ids.
      rules: [read(['nodes'], ['get', 'list']), read(['namespaces'], ['get'])],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: clusterWide,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: clusterWide.name },
      subjects: [{ kind: 'ServiceAccount', name: NAME, namespace }],
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { ...metadata, name: `${NAME}-tls` },
      type: 'kubernetes.io/tls',
      data: {
        'tls.crt': base64(certificate.cert),
        'tls.key': base64(certificate.key),
        'ca.crt': base64(certificate.ca),
      },
    },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: deploymentSpec(options, labels) },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: { app: NAME }, ports: [{ name: 'https', port: 443, targetPort: 'https', protocol: 'TCP' }] },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: clusterWide,
      webhooks: webhooks(options),
    },
  ]
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function deploymentSpec(options: ManifestOptions, labels: Record<string, string>): JsonObject {
  const args = ['injector', `--port=${PORT}`, '--certFile=/etc/tls/tls.crt', '--keyFile=/etc/tls/tls.key']
  args.push(
    `--image=${options.image}`,
    '--valuesFile=/etc/istio-values/values',
    '--meshConfigFile=/etc/istio-mesh/mesh',
  )
  if (options.revision !== '') args.push(`--revision=${options.revision}`)
  const probe = { httpGet: { path: '/healthz/ready', port: 'https', scheme: 'HTTPS' } }
  return {
    replicas: 1,
    selector: { matchLabels: { app: NAME } },
    template: {
      // The injector itself must come up before there is an injector.
      metadata: { labels: { ...labels, 'sidecar.istio.io/inject': 'false' } },
      spec: {
        serviceAccountName: NAME,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 1337,
          runAsGroup: 1337,
          seccompProfile: { type: 'RuntimeDefault' },
        },
        containers: [
          {
            name: 'injector',
            image: options.image,
            command: ['/usr/local/bin/remora'],
            args,
            ports: [{ name: 'https', containerPort: PORT, protocol: 'TCP' }],
            readinessProbe: { ...probe, periodSeconds: 5 },
            livenessProbe: { ...probe, periodSeconds: 20 },
            resources: { requests: { cpu: '20m', memory: '64Mi' }, limits: { memory: '256Mi' } },
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
            volumeMounts: [
              { name: 'tls', mountPath: '/etc/tls', readOnly: true },
              { name: 'mesh', mountPath: '/etc/istio-mesh', readOnly: true },
              { name: 'values', mountPath: '/etc/istio-values', readOnly: true },
            ],
          },
        ],
        volumes: [
          { name: 'tls', secret: { secretName: `${NAME}-tls` } },
          // What an installation of Istio has told its own injector holds for this one.
          { name: 'mesh', configMap: { name: 'istio', optional: true } },
          { name: 'values', configMap: { name: 'istio-sidecar-injector', optional: true } },
        ],
      },
    },
  }
}

type Expression = readonly [key: string, operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', ...values: string[]]

/** Who is injected: the four cases of Istio's chart (templates/mutatingwebhook.yaml), of which at most one matches a pod. */
function webhooks(options: ManifestOptions): JsonObject[] {
  const revision = options.revision || 'default'
  const notRefused: Expression = ['sidecar.istio.io/inject', 'NotIn', 'false']
  const noLabel: Expression[] = [
    ['istio.io/rev', 'DoesNotExist'],
    ['istio-injection', 'DoesNotExist'],
  ]
  const out = [
    webhook(options, 'rev.namespace', [['istio.io/rev', 'In', revision], noLabel[1]!], [notRefused]),
    webhook(options, 'rev.object', noLabel, [notRefused, ['istio.io/rev', 'In', revision]]),
  ]
  if (revision !== 'default') return out
  const wanted: Expression = ['sidecar.istio.io/inject', 'In', 'true']
  out.push(webhook(options, 'namespace', [['istio-injection', 'In', 'enabled']], [notRefused]))
  out.push(webhook(options, 'object', noLabel, [wanted, ['istio.io/rev', 'DoesNotExist']]))
  return out
}

function webhook(
  options: ManifestOptions,
  prefix: string,
  namespace: readonly Expression[],
  object: readonly Expression[],
): JsonObject {
  const selector = (expressions: readonly Expression[]): JsonObject => ({
    matchExpressions: expressions.map(([key, operator, ...values]) =>
      values.length === 0 ? { key, operator } : { key, operator, values },
    ),
  })
  return {
    name: `${prefix}.${NAME}.istio.io`,
    clientConfig: {
      service: { name: NAME, namespace: options.namespace, path: '/inject', port: 443 },
      caBundle: base64(options.certificate.ca),
    },
    sideEffects: 'None',
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
    failurePolicy: 'Fail',
    reinvocationPolicy: 'Never',
    admissionReviewVersions: ['v1'],
    namespaceSelector: selector(namespace),
    objectSelector: selector(object),
  }
}

import type { Pod } from './kubernetes.ts'
import { proxyEnvironment } from './proxy-environment.ts'
import { proxyVolumes } from './proxy-volumes.ts'
import {
  annotation,
  canonicalName,
  canonicalRevision,
  defaultContainer,
  proxyImage,
  pullPolicy,
  type TemplateInput,
} from './template-input.ts'

/** Istio's template `gateway` (files/gateway-injection-template.yaml), for pods that are a proxy and nothing else. */
export function gatewayTemplate(input: TemplateInput): Pod {
  const { global, gateways } = input.values
  const { proxy } = global
  const { volumes, volumeMounts } = proxyVolumes(input, true)
  const args = ['proxy', 'router', '--domain', `$(POD_NAMESPACE).svc.${proxy.clusterDomain}`]
  args.push(`--proxyLogLevel=${annotation(input, 'sidecar.istio.io/logLevel', proxy.logLevel)}`)
  args.push(
    `--proxyComponentLogLevel=${annotation(input, 'sidecar.istio.io/componentLogLevel', proxy.componentLogLevel)}`,
  )
  args.push(`--log_output_level=${annotation(input, 'sidecar.istio.io/agentLogLevel', global.logging.level)}`)
  if (global.sts.servicePort) args.push(`--stsPort=${global.sts.servicePort}`)
  if (global.logAsJson) args.push('--log_as_json')
  const delay = proxy.readinessInitialDelaySeconds
  const ownSecurity = Object.keys(gateways.securityContext).length > 0
  return {
    metadata: {
      labels: {
        'service.istio.io/canonical-name': canonicalName(input),
        'service.istio.io/canonical-revision': canonicalRevision(input),
      },
      annotations: defaultContainer(input),
    },
    spec: {
      securityContext: ownSecurity
        ? gateways.securityContext
        : { sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }] },
      containers: [
        {
          name: 'istio-proxy',
          image: proxyImage(input, proxy.image, true),
          ports: [{ containerPort: 15090, protocol: 'TCP', name: 'http-envoy-prom' }],
          args,
          ...(proxy.lifecycle === null ? {} : { lifecycle: proxy.lifecycle }),
          securityContext: { runAsUser: input.proxyUid, runAsGroup: input.proxyGid },
          env: proxyEnvironment(input, true),
          ...pullPolicy(input),
          readinessProbe: {
            httpGet: { path: '/healthz/ready', port: 15021 },
            ...(delay > 0 ? { initialDelaySeconds: delay } : {}),
            periodSeconds: proxy.readinessPeriodSeconds,
            timeoutSeconds: 3,
            failureThreshold: proxy.readinessFailureThreshold,
          },
          volumeMounts,
        },
      ],
      volumes,
      ...(global.imagePullSecrets.length > 0
        ? { imagePullSecrets: global.imagePullSecrets.map(name => ({ name })) }
        : {}),
    },
  }
}

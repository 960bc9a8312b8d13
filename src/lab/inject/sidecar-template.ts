import type { Container, JsonObject, Pod } from './kubernetes.ts'
import { appendMultusNetwork } from './multus.ts'
import { proxyEnvironment } from './proxy-environment.ts'
import { proxyVolumes } from './proxy-volumes.ts'
import {
  annotation,
  canonicalName,
  canonicalRevision,
  defaultContainer,
  metadataOf,
  proxyImage,
  pullPolicy,
  seccomp,
  type TemplateInput,
} from './template-input.ts'

/** Istio's template `sidecar` (files/injection-template.yaml of the chart istio-discovery), filled in. */
export function sidecarTemplate(input: TemplateInput): Pod {
  const { volumes, volumeMounts } = proxyVolumes(input, false)
  const proxy = proxyContainer(input, volumeMounts)
  const initContainers: Container[] = interception(input) === 'NONE' ? [] : [initContainer(input)]
  if (input.nativeSidecar) initContainers.push(proxy)
  const secrets = input.values.global.imagePullSecrets
  return {
    metadata: { labels: labels(input), annotations: { ...defaultContainer(input), ...cniAnnotations(input) } },
    spec: {
      initContainers,
      ...(input.nativeSidecar ? {} : { containers: [proxy] }),
      volumes,
      ...(secrets.length > 0 ? { imagePullSecrets: secrets.map(name => ({ name })) } : {}),
    },
  }
}

function labels(input: TemplateInput): Record<string, string> {
  const given = input.labels
  const out: Record<string, string> = { 'security.istio.io/tlsMode': given['security.istio.io/tlsMode'] || 'istio' }
  if (metadata(input, 'ISTIO_META_ENABLE_HBONE') === 'true')
    out['networking.istio.io/tunnel'] = given['networking.istio.io/tunnel'] || 'http'
  // A label has at most 63 characters and ends in a letter or digit.
  out['service.istio.io/canonical-name'] = canonicalName(input)
    .slice(0, 63)
    .replace(/^[-_.]+|[-_.]+$/g, '')
  out['service.istio.io/canonical-revision'] = canonicalRevision(input)
  return out
}

function metadata(input: TemplateInput, name: string): string | undefined {
  return metadataOf(input.proxyConfig).find(([key]) => key === name)?.[1]
}

function interception(input: TemplateInput): string {
  return annotation(input, 'sidecar.istio.io/interceptionMode', input.proxyConfig.interceptionMode ?? 'REDIRECT')
}

/** The redirection of a pod; the same for arguments of the init container and for the annotations that Istio's CNI plugin reads. */
function traffic(input: TemplateInput) {
  const { proxy } = input.values.global
  const of = (name: string, otherwise: string): string =>
    annotation(input, `traffic.sidecar.istio.io/${name}`, otherwise)
  const optional = (name: string, otherwise: string): string | undefined =>
    otherwise !== '' || input.annotations[`traffic.sidecar.istio.io/${name}`] !== undefined
      ? of(name, otherwise)
      : undefined
  return {
    includeIPRanges: of('includeOutboundIPRanges', proxy.includeIPRanges),
    excludeIPRanges: of('excludeOutboundIPRanges', proxy.excludeIPRanges),
    includeInboundPorts: of('includeInboundPorts', proxy.includeInboundPorts),
    excludeInboundPorts: withPort(
      annotation(input, 'status.sidecar.istio.io/port', proxy.statusPort),
      of('excludeInboundPorts', proxy.excludeInboundPorts),
    ),
    includeOutboundPorts: optional('includeOutboundPorts', proxy.includeOutboundPorts),
    excludeOutboundPorts: optional('excludeOutboundPorts', proxy.excludeOutboundPorts),
    rerouteInterfaces: input.annotations['istio.io/reroute-virtual-interfaces'],
    kubevirtInterfaces: input.annotations['traffic.sidecar.istio.io/kubevirtInterfaces'],
    excludeInterfaces: input.annotations['traffic.sidecar.istio.io/excludeInterfaces'],
  }
}

/** The list with the status port in it; 0 is no status port. */
function withPort(port: string, list: string): string {
  const wanted = port.trim()
  if (wanted === '' || wanted === '0' || list.split(',').includes(wanted)) return list
  const ports = list
    .split(',')
    .map(text => text.trim())
    .filter(text => text !== '')
  return [...ports, wanted].join(',')
}

function cniAnnotations(input: TemplateInput): Record<string, string> {
  const { cni } = input.values.pilot
  if (!cni.enabled) return {}
  const out: Record<string, string> = {}
  const networks = 'k8s.v1.cni.cncf.io/networks'
  if (cni.provider === 'multus')
    out[networks] = appendMultusNetwork(input.annotations[networks] ?? '', 'default/istio-cni')
  out['sidecar.istio.io/interceptionMode'] = interception(input)
  const t = traffic(input)
  const prefix = 'traffic.sidecar.istio.io/'
  if (t.includeIPRanges !== '') out[`${prefix}includeOutboundIPRanges`] = t.includeIPRanges
  if (t.excludeIPRanges !== '') out[`${prefix}excludeOutboundIPRanges`] = t.excludeIPRanges
  out[`${prefix}includeInboundPorts`] = t.includeInboundPorts
  out[`${prefix}excludeInboundPorts`] = t.excludeInboundPorts
  if (t.includeOutboundPorts !== undefined) out[`${prefix}includeOutboundPorts`] = t.includeOutboundPorts
  if (t.excludeOutboundPorts !== undefined) out[`${prefix}excludeOutboundPorts`] = t.excludeOutboundPorts
  if (t.kubevirtInterfaces) out[`${prefix}kubevirtInterfaces`] = t.kubevirtInterfaces
  if (t.rerouteInterfaces) out['istio.io/reroute-virtual-interfaces'] = t.rerouteInterfaces
  if (t.excludeInterfaces) out[`${prefix}excludeInterfaces`] = t.excludeInterfaces
  return out
}

function initContainer(input: TemplateInput): Container {
  const { values, mesh } = input
  const { global } = values
  const cni = values.pilot.cni.enabled
  const tproxy = interception(input) === 'TPROXY'
  const uid = tproxy ? 1337 : input.proxyUid
  const t = traffic(input)
  const args = ['istio-iptables', '-p', String(mesh.proxyListenPort || 15001)]
  args.push('-z', String(mesh.proxyInboundListenPort || 15006), '-u', String(uid), '-m', interception(input))
  args.push('-i', t.includeIPRanges, '-x', t.excludeIPRanges, '-b', t.includeInboundPorts)
  args.push('-d', t.excludeInboundPorts === '' ? '15090,15021' : `15090,15021,${t.excludeInboundPorts}`)
  if (t.includeOutboundPorts !== undefined) args.push('-q', t.includeOutboundPorts)
  if (t.excludeOutboundPorts !== undefined) args.push('-o', t.excludeOutboundPorts)
  const interfaces = t.rerouteInterfaces ?? t.kubevirtInterfaces
  if (interfaces !== undefined) args.push('-k', interfaces)
  if (t.excludeInterfaces !== undefined) args.push('-c', t.excludeInterfaces)
  args.push(`--log_output_level=${annotation(input, 'sidecar.istio.io/agentLogLevel', global.logging.level)}`)
  if (global.logAsJson) args.push('--log_as_json')
  if (cni) args.push('--run-validation', '--skip-rule-apply')
  else if (global.proxy_init.forceApplyIptables) args.push('--force-apply')
  if (global.nativeNftables) args.push('--native-nftables')
  const env = metadataOf(input.proxyConfig).map(([name, value]) => ({ name, value }))
  const user = cni
    ? {
        readOnlyRootFilesystem: true,
        runAsGroup: tproxy ? 1337 : input.proxyGid,
        runAsUser: uid,
        runAsNonRoot: true,
      }
    : { readOnlyRootFilesystem: false, runAsGroup: 0, runAsNonRoot: false, runAsUser: 0 }
  return {
    name: cni ? 'istio-validation' : 'istio-init',
    image: proxyImage(input, global.proxy_init.image, false),
    args,
    ...pullPolicy(input),
    ...(env.length > 0 ? { env } : {}),
    resources: resources(input),
    securityContext: {
      allowPrivilegeEscalation: global.proxy.privileged,
      privileged: global.proxy.privileged,
      capabilities: cni ? { drop: ['ALL'] } : { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      ...user,
      ...seccomp(input),
    },
  }
}

function proxyContainer(input: TemplateInput, volumeMounts: JsonObject[]): Container {
  const { global } = input.values
  const { proxy } = global
  const args = ['proxy', 'sidecar', '--domain', `$(POD_NAMESPACE).svc.${proxy.clusterDomain}`]
  args.push(`--proxyLogLevel=${annotation(input, 'sidecar.istio.io/logLevel', proxy.logLevel)}`)
  args.push(
    `--proxyComponentLogLevel=${annotation(input, 'sidecar.istio.io/componentLogLevel', proxy.componentLogLevel)}`,
  )
  args.push(`--log_output_level=${annotation(input, 'sidecar.istio.io/agentLogLevel', global.logging.level)}`)
  if (global.sts.servicePort) args.push(`--stsPort=${global.sts.servicePort}`)
  if (global.logAsJson) args.push('--log_as_json')
  if (proxy.outlierLogPath) args.push(`--outlierLogPath=${proxy.outlierLogPath}`)
  return {
    name: 'istio-proxy',
    image: proxyImage(input, proxy.image, true),
    ...(input.nativeSidecar ? { restartPolicy: 'Always' } : {}),
    ports: [{ containerPort: 15090, protocol: 'TCP', name: 'http-envoy-prom' }],
    args,
    ...lifecycle(input),
    env: proxyEnvironment(input, false),
    ...pullPolicy(input),
    ...probes(input),
    securityContext: { ...securityContext(input), ...seccomp(input) },
    resources: resources(input),
    volumeMounts,
  }
}

function lifecycle(input: TemplateInput): JsonObject {
  const { proxy } = input.values.global
  if (proxy.lifecycle !== null) return { lifecycle: proxy.lifecycle }
  const hold = input.proxyConfig.holdApplicationUntilProxyStarts === true || proxy.holdApplicationUntilProxyStarts
  if (hold && !input.nativeSidecar) return { lifecycle: { postStart: { exec: { command: ['pilot-agent', 'wait'] } } } }
  if (!input.nativeSidecar) return {}
  // The pod begins to end: drain now; SIGTERM comes when the applications are gone.
  const port = annotation(input, 'status.sidecar.istio.io/port', proxy.statusPort)
  const command = ['pilot-agent', 'request', `--debug-port=${port}`, 'POST', 'drain']
  return { lifecycle: { preStop: { exec: { command } } } }
}

function probes(input: TemplateInput): JsonObject {
  const { proxy } = input.values.global
  if (annotation(input, 'status.sidecar.istio.io/port', proxy.statusPort) === '0') return {}
  const httpGet = { path: '/healthz/ready', port: 15021 }
  const of = (name: string, otherwise: number): number =>
    Number(annotation(input, `readiness.status.sidecar.istio.io/${name}`, otherwise))
  const delay = of('initialDelaySeconds', proxy.readinessInitialDelaySeconds)
  const startup = {
    httpGet,
    periodSeconds: 1,
    timeoutSeconds: 3,
    failureThreshold: proxy.startupProbe.failureThreshold,
  }
  return {
    ...(proxy.startupProbe.enabled ? { startupProbe: startup } : {}),
    readinessProbe: {
      httpGet,
      ...(delay > 0 ? { initialDelaySeconds: delay } : {}),
      periodSeconds: of('periodSeconds', proxy.readinessPeriodSeconds),
      timeoutSeconds: 3,
      failureThreshold: of('failureThreshold', proxy.readinessFailureThreshold),
    },
  }
}

function securityContext(input: TemplateInput): JsonObject {
  const { proxy } = input.values.global
  if (metadata(input, 'IPTABLES_TRACE_LOGGING') === 'true') {
    return {
      allowPrivilegeEscalation: true,
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      privileged: true,
      readOnlyRootFilesystem: true,
      runAsGroup: input.proxyGid,
      runAsNonRoot: false,
      runAsUser: 0,
    }
  }
  const add: string[] = []
  if (interception(input) === 'TPROXY') add.push('NET_ADMIN')
  if (annotation(input, 'sidecar.istio.io/capNetBindService', proxy.capNetBindService) === 'true')
    add.push('NET_BIND_SERVICE')
  const user =
    add.length > 0
      ? { runAsNonRoot: false, runAsUser: 0, runAsGroup: 1337 }
      : { runAsNonRoot: true, runAsUser: input.proxyUid, runAsGroup: input.proxyGid }
  return {
    allowPrivilegeEscalation: proxy.privileged,
    capabilities: add.length > 0 ? { add, drop: ['ALL'] } : { drop: ['ALL'] },
    privileged: proxy.privileged,
    readOnlyRootFilesystem: true,
    ...user,
  }
}

/** Annotations replace the installation's resources as a whole. */
function resources(input: TemplateInput): JsonObject {
  const given = (cpu: string, memory: string): JsonObject | undefined => {
    const out: JsonObject = {}
    const cpuAmount = input.annotations[`sidecar.istio.io/${cpu}`]
    const memoryAmount = input.annotations[`sidecar.istio.io/${memory}`]
    if (cpuAmount !== undefined) out.cpu = cpuAmount
    if (memoryAmount !== undefined) out.memory = memoryAmount
    return Object.keys(out).length > 0 ? out : undefined
  }
  const requests = given('proxyCPU', 'proxyMemory')
  const limits = given('proxyCPULimit', 'proxyMemoryLimit')
  if (requests === undefined && limits === undefined) return input.values.global.proxy.resources
  return { ...(requests === undefined ? {} : { requests }), ...(limits === undefined ? {} : { limits }) }
}

import { isIPv4, isIPv6 } from 'node:net'
import { InjectionError, parseBool } from './kubernetes.ts'
import { applyAnnotation } from './mesh-config.ts'

/** Throws InjectionError that names every annotation whose value cannot be used (pkg/kube/inject/validate.go). */
export function validateAnnotations(annotations: Readonly<Record<string, string>>): void {
  const wrong: string[] = []
  for (const [name, value] of Object.entries(annotations)) {
    const problem = RULES[name]?.(value)
    if (problem !== undefined) wrong.push(`invalid value '${value}' for annotation '${name}': ${problem}`)
  }
  if (wrong.length > 0) throw new InjectionError(wrong.join('; '))
}

type Rule = (value: string) => string | undefined

const RULES: Readonly<Record<string, Rule>> = {
  'sidecar.istio.io/interceptionMode': value =>
    ['REDIRECT', 'TPROXY', 'NONE'].includes(value) ? undefined : 'use REDIRECT, TPROXY or NONE',
  'status.sidecar.istio.io/port': port,
  'readiness.status.sidecar.istio.io/initialDelaySeconds': uint32,
  'readiness.status.sidecar.istio.io/periodSeconds': uint32,
  'readiness.status.sidecar.istio.io/failureThreshold': uint32,
  'traffic.sidecar.istio.io/includeOutboundIPRanges': value =>
    value === '*' ? undefined : cidrs('includeIPRanges', value),
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': value => cidrs('excludeIPRanges', value),
  'traffic.sidecar.istio.io/includeInboundPorts': value =>
    value === '*' ? undefined : ports('includeInboundPorts', value),
  'traffic.sidecar.istio.io/excludeInboundPorts': value => ports('excludeInboundPorts', value),
  'traffic.sidecar.istio.io/includeOutboundPorts': value =>
    value === '*' ? undefined : ports('includeOutboundPorts', value),
  'traffic.sidecar.istio.io/excludeOutboundPorts': value => ports('excludeOutboundPorts', value),
  'traffic.sidecar.istio.io/excludeInterfaces': interfaces,
  'traffic.sidecar.istio.io/kubevirtInterfaces': interfaces,
  'istio.io/reroute-virtual-interfaces': interfaces,
  'prometheus.istio.io/merge-metrics': value => (parseBool(value) === undefined ? 'use true or false' : undefined),
  'proxy.istio.io/config': value => {
    try {
      applyAnnotation({}, value)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  },
  'sidecar.istio.io/proxyCPU': quantity,
  'sidecar.istio.io/proxyMemory': quantity,
  'sidecar.istio.io/proxyCPULimit': quantity,
  'sidecar.istio.io/proxyMemoryLimit': quantity,
}

function port(value: string): string | undefined {
  const text = value.trim()
  return /^[0-9]{1,5}$/.test(text) && Number(text) <= 65535 ? undefined : `'${value}' is not a port`
}

function ports(name: string, value: string): string | undefined {
  const text = value.trim()
  const wrong = text === '' ? undefined : text.split(',').find(part => port(part) !== undefined)
  return wrong === undefined ? undefined : `${name} invalid: failed parsing port '${wrong}'`
}

function uint32(value: string): string | undefined {
  return /^[0-9]{1,10}$/.test(value) && Number(value) < 2 ** 32 ? undefined : 'not a whole number below 2^32'
}

function cidrs(name: string, value: string): string | undefined {
  const wrong = value === '' ? undefined : value.split(',').find(part => !isCidr(part))
  return wrong === undefined ? undefined : `${name} invalid: failed parsing cidr '${wrong}'`
}

function isCidr(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/')
  if (rest.length > 0 || !/^(0|[1-9][0-9]{0,2})$/.test(bits)) return false
  return (isIPv4(address) && Number(bits) <= 32) || (isIPv6(address) && Number(bits) <= 128 && !address.includes('%'))
}

/** Names end up on the command line of iptables: Linux's own rule for them (dev_valid_name), 15 bytes, and nothing a shell knows. */
function interfaces(value: string): string | undefined {
  const wrong = value.split(',').find(part => part.trim() !== '' && !/^[A-Za-z0-9_.+@-]{1,15}$/.test(part.trim()))
  return wrong === undefined ? undefined : `'${wrong}' is not the name of an interface`
}

/** resource.Quantity: decimal number with a binary, decimal or exponent suffix. */
function quantity(value: string): string | undefined {
  return /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE])?$/.test(value)
    ? undefined
    : 'quantities must match the regular expression of Kubernetes, such as 100m, 1.5 or 128Mi'
}

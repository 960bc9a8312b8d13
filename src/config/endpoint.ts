import { isIP } from 'node:net'
import { ConfigError } from '../base/errors.ts'
import type { Address } from '../io/connection.ts'
import type {
  AssignmentConfig,
  DropOverload,
  HealthStatus,
  HostConfig,
  HostHealthCheckConfig,
  LocalityConfig,
} from '../upstream/cluster-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'

export interface EndpointOptions {
  /** STRICT_DNS and LOGICAL_DNS: addresses are names to resolve. */
  readonly dns: boolean
  readonly clusterType: string
  warn(text: string): void
}

/**
 * envoy.config.endpoint.v3.ClusterLoadAssignment → plain hosts by locality. Localities of equal name and priority stay
 * apart as Envoy keeps them in one; they are merged here in the order given. Throws ConfigError with Envoy's texts.
 */
export function parseAssignment(
  proto: envoy.config.endpoint.v3.ClusterLoadAssignment,
  at: FieldPath,
  options: EndpointOptions,
): AssignmentConfig {
  const localities: LocalityConfig[] = []
  const endpoints = proto.endpoints ?? []
  for (let i = 0; i < endpoints.length; i++) {
    localities.push(parseLocality(endpoints[i]!, at.field('endpoints').index(i), proto, options))
  }
  const policy = proto.policy
  return {
    clusterName: proto.cluster_name ?? '',
    localities: mergeLocalities(localities),
    overprovisioningFactor: policy?.overprovisioning_factor ?? 140,
    weightedPriorityHealth: policy?.weighted_priority_health ?? false,
    dropOverloads: parseDropOverloads(policy?.drop_overloads ?? [], at.field('policy')),
    endpointStaleAfter: policy?.endpoint_stale_after ?? 0,
  }
}

/** `1.2.3.4:80` or `[::1]:80`, as Envoy prints addresses. */
export function makeAddress(ip: string, port: number): Address {
  return { ip, port, text: ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}` }
}

function pipeAddress(path: string): Address {
  return { ip: path, port: 0, text: path }
}

/** An address that must be literal: `malformed IP address: x` as Envoy says it. */
export function parseSocketAddress(proto: envoy.config.core.v3.SocketAddress, at: FieldPath, hint = ''): Address {
  const ip = proto.address ?? ''
  if (proto.protocol === 'UDP')
    throw new ConfigError('CONFIG_UNSUPPORTED', at, `UDP addresses are not supported here: ${ip}`)
  if (proto.named_port !== undefined)
    throw new ConfigError('CONFIG_INVALID', at, 'named_port needs a resolver that Envoy does not have')
  if (isIP(ip) === 0) throw new ConfigError('CONFIG_INVALID', at, `malformed IP address: ${ip}${hint}`)
  return makeAddress(ip.toLowerCase(), proto.port_value ?? 0)
}

const HINT = ". Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"

/** PerHostConfig of upstream_proxy_protocol. */
const HOST_TLVS = 'envoy.transport_sockets.proxy_protocol'

function parseLocality(
  proto: envoy.config.endpoint.v3.LocalityLbEndpoints,
  at: FieldPath,
  assignment: envoy.config.endpoint.v3.ClusterLoadAssignment,
  options: EndpointOptions,
): LocalityConfig {
  if (proto.leds_cluster_locality_config !== undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'LEDS is not supported: give the endpoints in lb_endpoints')
  }
  const locality = {
    region: proto.locality?.region ?? '',
    zone: proto.locality?.zone ?? '',
    subZone: proto.locality?.sub_zone ?? '',
    priority: proto.priority ?? 0,
    weight: proto.load_balancing_weight ?? 0,
  }
  const list = proto.load_balancer_endpoints?.lb_endpoints ?? proto.lb_endpoints ?? []
  const hosts: HostConfig[] = []
  for (let i = 0; i < list.length; i++) {
    const lb = list[i]!
    const where = at.field('lb_endpoints').index(i)
    const endpoint = lb.endpoint ?? assignment.named_endpoints?.[lb.endpoint_name ?? '']
    if (endpoint === undefined)
      throw new ConfigError('CONFIG_INVALID', where, `unknown endpoint name '${lb.endpoint_name ?? ''}'`)
    if ((endpoint.additional_addresses ?? []).length > 0) {
      options.warn(`${where}.endpoint.additional_addresses: only the first address is used`)
    }
    if (lb.metadata?.typed_filter_metadata?.[HOST_TLVS] !== undefined) {
      options.warn(`${where}.metadata.typed_filter_metadata: TLVs of single hosts are not told in PROXY headers`)
    }
    hosts.push({
      address: parseEndpointAddress(endpoint.address, where.field('endpoint').field('address'), options),
      hostname: endpoint.hostname ?? '',
      weight: lb.load_balancing_weight ?? 1,
      priority: locality.priority,
      region: locality.region,
      zone: locality.zone,
      subZone: locality.subZone,
      healthStatus: (lb.health_status ?? 'UNKNOWN') as HealthStatus,
      metadata: mergeMetadata(proto.metadata?.filter_metadata, lb.metadata?.filter_metadata),
      healthCheck: parseHostHealthCheck(endpoint.health_check_config, where),
    })
  }
  return { ...locality, hosts }
}

function parseEndpointAddress(
  proto: envoy.config.core.v3.Address | undefined,
  at: FieldPath,
  options: EndpointOptions,
): Address {
  if (proto?.pipe !== undefined) return pipeAddress(proto.pipe.path ?? '')
  const internal = proto?.envoy_internal_address
  if (internal !== undefined) {
    const { server_listener_name: listener = '', endpoint_id: id = '' } = internal
    const text = `envoy://${listener}/${id}`
    return { ip: text, port: 0, text, internal: { listener, endpointId: id } }
  }
  const socket = proto?.socket_address
  if (socket === undefined) throw new ConfigError('CONFIG_INVALID', at, `Address must be set${options.dns ? '' : HINT}`)
  const resolver = socket.resolver_name ?? ''
  if (options.dns) {
    if (resolver !== '') {
      throw new ConfigError(
        'CONFIG_INVALID',
        at,
        `${options.clusterType} clusters must NOT have a custom resolver name set`,
      )
    }
    if (socket.named_port !== undefined) throw new ConfigError('CONFIG_UNSUPPORTED', at, 'named_port is not supported')
    const ip = isIP(socket.address ?? '') !== 0 ? socket.address!.toLowerCase() : (socket.address ?? '')
    return makeAddress(ip, socket.port_value ?? 0)
  }
  if (resolver !== '' && resolver !== 'envoy.ip')
    throw new ConfigError('CONFIG_INVALID', at, `Unknown address resolver: ${resolver}${HINT}`)
  return parseSocketAddress(socket, at, HINT)
}

function parseHostHealthCheck(
  proto: envoy.config.endpoint.v3.Endpoint_HealthCheckConfig | undefined,
  at: FieldPath,
): HostHealthCheckConfig | null {
  if (proto === undefined) return null
  const where = at.field('endpoint').field('health_check_config')
  const socket = proto.address?.socket_address
  const pipe = proto.address?.pipe
  return {
    address: pipe !== undefined ? pipeAddress(pipe.path ?? '') : socket ? parseSocketAddress(socket, where) : null,
    port: proto.port_value ?? 0,
    hostname: proto.hostname ?? '',
    disabled: proto.disable_active_health_check ?? false,
  }
}

function parseDropOverloads(
  list: readonly envoy.config.endpoint.v3.ClusterLoadAssignment_Policy_DropOverload[],
  at: FieldPath,
): DropOverload[] {
  if (list.length > 1) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      `Cluster drop_overloads config has ${list.length} categories. Envoy only support one.`,
    )
  }
  return list.map(drop => {
    const numerator = drop.drop_percentage?.numerator ?? 0
    const name = drop.drop_percentage?.denominator ?? 'HUNDRED'
    const denominator = name === 'MILLION' ? 1000000 : name === 'TEN_THOUSAND' ? 10000 : 100
    if (numerator > denominator) {
      throw new ConfigError(
        'CONFIG_INVALID',
        at,
        `Cluster drop_overloads config is invalid. drop_ratio=${numerator / denominator}(Numerator ${numerator} / ` +
          `Denominator ${denominator}). The valid range is 0~1.`,
      )
    }
    return { category: drop.category ?? '', numerator, denominator }
  })
}

/** Locality metadata is the default for its endpoints' (LocalityLbEndpoints.metadata, merged per filter name). */
function mergeMetadata(
  locality: Readonly<Record<string, object>> | undefined,
  endpoint: Readonly<Record<string, object>> | undefined,
): Readonly<Record<string, unknown>> | null {
  if (locality === undefined) return endpoint ?? null
  return { ...locality, ...endpoint }
}

/** One entry per locality and priority: Envoy groups hosts by locality; the last weight given wins. */
function mergeLocalities(list: readonly LocalityConfig[]): LocalityConfig[] {
  const byKey = new Map<string, LocalityConfig>()
  for (const l of list) {
    const key = JSON.stringify([l.priority, l.region, l.zone, l.subZone])
    const before = byKey.get(key)
    byKey.set(key, before === undefined ? l : { ...l, hosts: before.hosts.concat(l.hosts) })
  }
  return [...byKey.values()]
}

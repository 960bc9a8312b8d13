import type { Address } from '../io/connection.ts'
import { addressJson } from './address-json.ts'
import { edsHealth } from './clusters.ts'

/** A resource as configured. */
export interface ResourceFact {
  readonly name: string
  /** '' for static ones. */
  readonly version: string
  /** Wall clock, ms since the epoch. */
  readonly updated: number
  /** Decoded when a dump asks. */
  message(): object
}

/** A refused update, envoy.admin.v3.UpdateFailureState. */
export interface FailureFact {
  readonly name: string
  readonly failed: ResourceFact | null
  /** Wall clock, ms since the epoch. */
  readonly attempted: number
  readonly details: string
}

/** Hosts of one locality of one priority, for include_eds. */
export interface LocalityFact {
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly priority: number
  /** Null = localities have none. */
  readonly weight: number | null
  readonly hosts: readonly {
    readonly address: Address
    readonly hostname: string
    readonly flags: number
    readonly weight: number
    /** filter_metadata; null when none. */
    readonly metadata: Readonly<Record<string, unknown>> | null
  }[]
}

export interface EndpointsFact {
  /** What ClusterLoadAssignment calls it: the EDS service name, or the cluster's. */
  readonly name: string
  readonly isStatic: boolean
  readonly localities: readonly LocalityFact[]
  readonly overprovisioningFactor: number
  readonly dropOverloads: readonly {
    readonly category: string
    readonly numerator: number
    readonly denominator: number
  }[]
}

/** What /config_dump shows. Static lists are in configuration order. */
export interface DumpFacts {
  bootstrap(): ResourceFact
  clustersVersion(): string
  staticClusters(): readonly ResourceFact[]
  activeClusters(): readonly ResourceFact[]
  warmingClusters(): readonly ResourceFact[]
  endpoints(): readonly EndpointsFact[]
  listenersVersion(): string
  staticListeners(): readonly ResourceFact[]
  activeListeners(): readonly ResourceFact[]
  warmingListeners(): readonly ResourceFact[]
  drainingListeners(): readonly ResourceFact[]
  listenerFailures(): readonly FailureFact[]
  /** Inline route configurations of connection managers. */
  staticRoutes(): readonly ResourceFact[]
  dynamicRoutes(): readonly ResourceFact[]
  staticSecrets(): readonly ResourceFact[]
  activeSecrets(): readonly ResourceFact[]
  /** Names asked for by SDS that have not arrived. */
  /** Filters that came by ECDS, per kind of filter that a listener has ever asked for. */
  extensions(): readonly (readonly ResourceFact[])[]
  warmingSecrets(): readonly { readonly name: string; readonly updated: number }[]
}

export interface DumpSection {
  /** Full name of the message type. */
  readonly type: string
  readonly message: Readonly<Record<string, unknown>>
}

type Keep = (name: string) => boolean

const CLUSTER = 'type.googleapis.com/envoy.config.cluster.v3.Cluster'
const LISTENER = 'type.googleapis.com/envoy.config.listener.v3.Listener'
const ROUTES = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration'
const SECRET = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
const EXTENSION = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig'
const ASSIGNMENT = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment'

/** All sections in Envoy's order. `keep` (name_regex) leaves the bootstrap alone. */
export function dumpSections(facts: DumpFacts, keep: Keep, withEndpoints: boolean): DumpSection[] {
  const bootstrap = facts.bootstrap()
  const sections: DumpSection[] = [
    section('BootstrapConfigDump', { bootstrap: bootstrap.message(), last_updated: bootstrap.updated }),
    section('ClustersConfigDump', clusters(facts, keep)),
  ]
  for (const list of facts.extensions()) {
    sections.push(
      section('EcdsConfigDump', {
        ecds_filters: kept(list, keep).map(f => ({
          ...versioned(f, true),
          ecds_filter: any(EXTENSION, f),
          ...updated(f),
        })),
      }),
    )
  }
  if (withEndpoints) sections.push(section('EndpointsConfigDump', endpoints(facts, keep)))
  sections.push(
    section('ListenersConfigDump', listeners(facts, keep)),
    section('ScopedRoutesConfigDump', {}),
    section('RoutesConfigDump', routes(facts, keep)),
    section('SecretsConfigDump', secrets(facts, keep)),
  )
  return sections
}

function section(name: string, fields: Readonly<Record<string, unknown>>): DumpSection {
  const message: Record<string, unknown> = {}
  // Empty fields are absent, as protobuf has it.
  for (const [key, value] of Object.entries(fields)) {
    if (value !== '' && !(Array.isArray(value) && value.length === 0)) message[key] = value
  }
  return { type: `envoy.admin.v3.${name}`, message }
}

function clusters(facts: DumpFacts, keep: Keep): Record<string, unknown> {
  const byName = (a: ResourceFact, b: ResourceFact): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  const dump = (list: readonly ResourceFact[], dynamic: boolean): object[] =>
    // Envoy keeps clusters in an ordered map.
    kept([...list].sort(byName), keep).map(c => ({ ...versioned(c, dynamic), ...updated(c), cluster: any(CLUSTER, c) }))
  return {
    version_info: facts.clustersVersion(),
    static_clusters: dump(facts.staticClusters(), false),
    dynamic_active_clusters: dump(facts.activeClusters(), true),
    dynamic_warming_clusters: dump(facts.warmingClusters(), true),
  }
}

function listeners(facts: DumpFacts, keep: Keep): Record<string, unknown> {
  const state = (l: ResourceFact): object => ({
    ...versioned(l, true),
    listener: any(LISTENER, l),
    last_updated: l.updated,
  })
  const dynamic = new Map<string, Record<string, unknown>>()
  const entry = (name: string): Record<string, unknown> => {
    const known = dynamic.get(name) ?? { ...(name === '' ? {} : { name }) }
    dynamic.set(name, known)
    return known
  }
  for (const l of kept(facts.activeListeners(), keep)) entry(l.name)['active_state'] = state(l)
  for (const l of kept(facts.warmingListeners(), keep)) entry(l.name)['warming_state'] = state(l)
  for (const l of kept(facts.drainingListeners(), keep)) entry(l.name)['draining_state'] = state(l)
  const failures = facts.listenerFailures()
  for (const f of failures) {
    if (keep(f.name)) entry(f.name)['error_state'] = { ...failure(LISTENER, f), last_update_attempt: f.attempted }
  }
  // Envoy lists them once more without a name: they are also what was wrong with the update.
  const overall = failures.map(f => ({ error_state: failure(LISTENER, f) }))
  return {
    version_info: facts.listenersVersion(),
    static_listeners: kept(facts.staticListeners(), keep).map(l => ({ ...updated(l), listener: any(LISTENER, l) })),
    dynamic_listeners: [...dynamic.values(), ...overall],
  }
}

function routes(facts: DumpFacts, keep: Keep): Record<string, unknown> {
  return {
    static_route_configs: kept(facts.staticRoutes(), keep).map(r => ({ ...updated(r), route_config: any(ROUTES, r) })),
    dynamic_route_configs: kept(facts.dynamicRoutes(), keep).map(r => ({
      ...versioned(r, true),
      ...updated(r),
      route_config: any(ROUTES, r),
    })),
  }
}

function secrets(facts: DumpFacts, keep: Keep): Record<string, unknown> {
  return {
    // Envoy prints no time for static ones.
    static_secrets: kept(facts.staticSecrets(), keep).map(s => ({ name: s.name, secret: any(SECRET, s) })),
    dynamic_active_secrets: kept(facts.activeSecrets(), keep).map(s => ({
      name: s.name,
      ...versioned(s, true),
      ...updated(s),
      secret: any(SECRET, s),
    })),
    dynamic_warming_secrets: facts
      .warmingSecrets()
      .filter(s => keep(s.name))
      .map(s => ({
        name: s.name,
        version_info: 'uninitialized',
        last_updated: s.updated,
        secret: { type_url: SECRET, message: { name: s.name } },
      })),
  }
}

/** Host sets as they are now, in the shape of the assignment that would give them (ClusterManagerImpl's dump). */
function endpoints(facts: DumpFacts, keep: Keep): Record<string, unknown> {
  const dump = (isStatic: boolean): object[] =>
    facts
      .endpoints()
      .filter(e => e.isStatic === isStatic && keep(e.name))
      .map(e => ({ endpoint_config: { type_url: ASSIGNMENT, message: assignment(e) } }))
  return { static_endpoint_configs: dump(true), dynamic_endpoint_configs: dump(false) }
}

const DENOMINATORS: Readonly<Record<number, string>> = { 10000: 'TEN_THOUSAND', 1000000: 'MILLION' }

function assignment(e: EndpointsFact): object {
  const drops = e.dropOverloads.map(({ category, numerator, denominator }) => {
    const unit = DENOMINATORS[denominator]
    return { category, drop_percentage: { numerator, ...(unit === undefined ? {} : { denominator: unit }) } }
  })
  return {
    ...(e.name === '' ? {} : { cluster_name: e.name }),
    ...(e.localities.length === 0 ? {} : { endpoints: e.localities.map(locality) }),
    policy: {
      ...(drops.length === 0 ? {} : { drop_overloads: drops }),
      overprovisioning_factor: e.overprovisioningFactor,
    },
  }
}

function locality(l: LocalityFact): object {
  const hosts = l.hosts.map(h => ({
    endpoint: {
      address: addressJson(h.address),
      health_check_config: {},
      ...(h.hostname === '' ? {} : { hostname: h.hostname }),
    },
    health_status: edsHealth(h.flags),
    ...(h.metadata === null ? {} : { metadata: { filter_metadata: h.metadata } }),
    load_balancing_weight: h.weight,
  }))
  return {
    locality: {
      ...(l.region === '' ? {} : { region: l.region }),
      ...(l.zone === '' ? {} : { zone: l.zone }),
      ...(l.subZone === '' ? {} : { sub_zone: l.subZone }),
    },
    ...(hosts.length === 0 ? {} : { lb_endpoints: hosts }),
    ...(l.weight === null ? {} : { load_balancing_weight: l.weight }),
    ...(l.priority === 0 ? {} : { priority: l.priority }),
  }
}

function failure(type: string, f: FailureFact): object {
  return {
    ...(f.failed === null ? {} : { failed_configuration: any(type, f.failed) }),
    details: f.details,
  }
}

function kept(list: readonly ResourceFact[], keep: Keep): ResourceFact[] {
  return list.filter(r => keep(r.name))
}

function versioned(r: ResourceFact, dynamic: boolean): object {
  return dynamic && r.version !== '' ? { version_info: r.version } : {}
}

function updated(r: ResourceFact): object {
  return { last_updated: r.updated }
}

function any(typeUrl: string, r: ResourceFact): object {
  return { type_url: typeUrl, message: r.message() }
}

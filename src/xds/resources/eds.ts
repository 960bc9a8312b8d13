import { parseAssignment } from '../../config/endpoint.ts'
import type { Counter } from '../../stats/stats.ts'
import type { AssignmentConfig } from '../../upstream/cluster-config.ts'
import type { Unavailable } from '../xds-subscription.ts'
import type { ResourceListener } from './named.ts'
import type { ResourceType } from './type.ts'
import type { XdsResource } from './xds-resource.ts'

export const EDS: ResourceType = {
  typeUrl: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  typeName: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  word: 'ClusterLoadAssignment',
  nameField: 'cluster_name',
  complete: false,
  method: '/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints',
  deltaMethod: '/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints',
}

/** Where endpoints go: `upstream/clusters/eds.ts`. */
export interface AssignmentTaker {
  onAssignment(assignment: AssignmentConfig): void
  /** There are none, or they were refused or did not come in time: the cluster goes on without. */
  onFailure(): void
}

/**
 * Last good assignments by name, as long as somebody follows the name. A cluster that changed asks for its endpoints again; when the
 * control plane sees no reason to answer, the new version takes what the old one has (eds.cc, "using cached response").
 */
export class AssignmentCache {
  readonly #entries = new Map<string, { users: number; assignment: AssignmentConfig | null }>()

  get(name: string): AssignmentConfig | null {
    return this.#entries.get(name)?.assignment ?? null
  }

  put(name: string, assignment: AssignmentConfig): void {
    const entry = this.#entries.get(name)
    if (entry !== undefined) entry.assignment = assignment
  }

  use(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) this.#entries.set(name, { users: 1, assignment: null })
    else entry.users++
  }

  release(name: string): void {
    const entry = this.#entries.get(name)
    if (entry !== undefined && --entry.users === 0) this.#entries.delete(name)
  }
}

/** Reads assignments for a cluster. */
export class EndpointsListener implements ResourceListener {
  readonly #taker: AssignmentTaker
  readonly #name: string
  readonly #cache: AssignmentCache
  readonly #useCached: Counter
  readonly #warn: (text: string) => void

  /** @param useCached assignment_use_cached */
  constructor(
    taker: AssignmentTaker,
    name: string,
    cache: AssignmentCache,
    useCached: Counter,
    warn: (text: string) => void,
  ) {
    this.#taker = taker
    this.#name = name
    this.#cache = cache
    this.#useCached = useCached
    this.#warn = warn
  }

  onResource(resource: XdsResource): void {
    const options = { dns: false, clusterType: 'EDS', warn: this.#warn }
    const { ownName } = resource
    if (ownName !== this.#name) throw new Error(`Unexpected EDS cluster (expecting ${this.#name}): ${ownName}`)
    const assignment = parseAssignment(resource.decodeWhole(), resource.at, options)
    this.#taker.onAssignment(assignment)
    this.#cache.put(this.#name, assignment)
  }

  onUnavailable(why: Unavailable): void {
    const cached = why === 'timeout' ? this.#cache.get(this.#name) : null
    if (cached === null) {
      this.#taker.onFailure()
      return
    }
    this.#useCached.inc()
    this.#taker.onAssignment(cached)
  }
}

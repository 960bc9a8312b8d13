import { parseAssignment } from '../../config/endpoint.ts'
import type { AssignmentConfig } from '../../upstream/cluster-config.ts'
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
}

/** Where endpoints go: `upstream/clusters/eds.ts`. */
export interface AssignmentTaker {
  onAssignment(assignment: AssignmentConfig): void
  /** There are none, or they were refused or did not come in time: the cluster goes on without. */
  onFailure(): void
}

/** Reads assignments for a cluster. */
export class EndpointsListener implements ResourceListener {
  readonly #taker: AssignmentTaker
  readonly #warn: (text: string) => void

  constructor(taker: AssignmentTaker, warn: (text: string) => void) {
    this.#taker = taker
    this.#warn = warn
  }

  onResource(resource: XdsResource): void {
    const options = { dns: false, clusterType: 'EDS', warn: this.#warn }
    this.#taker.onAssignment(parseAssignment(resource.decode(), resource.at, options))
  }

  onUnavailable(): void {
    this.#taker.onFailure()
  }
}

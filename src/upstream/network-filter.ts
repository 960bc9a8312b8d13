import type { ExtensionFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import type { Connection } from '../io/connection.ts'
import type { Host } from './upstream.ts'

/** A network filter of upstream connections (Cluster.filters). One object serves all connections of a cluster on a worker. */
export interface UpstreamNetworkFilter {
  /** TCP and TLS are through, and nothing was written yet. */
  onConnected(c: Connection, host: Host): void
}

/** Factory of one: category `envoy.filters.upstream_network`. */
export interface UpstreamNetworkFilterFactory<P extends object, C>
  extends ExtensionFactory<P, C, never, UpstreamNetworkFilter> {
  create(config: C, services: WorkerServices): UpstreamNetworkFilter
}

import type { RawResource } from './discovery-wire.ts'

/** Resources of one response or file, for one watcher. */
export interface ResourceUpdate {
  readonly version: string
  readonly resources: readonly RawResource[]
}

/** Whoever follows resources of one type; `xds/resources/*` make them. */
export interface ResourceWatcher {
  /** Takes the update over as a whole or throws: the text of the error becomes the NACK. What was good before stays. */
  onUpdate(update: ResourceUpdate): void
  /** No answer within initial_fetch_timeout (the subscription goes on). */
  onFetchTimeout(): void
  /** The stream or file failed before it could be judged; counted as update_failure. */
  onFailure(text: string): void
}

/** A running subscription. */
export interface Watch {
  /** Replaces the names; wildcard watches have none. */
  setNames(names: readonly string[]): void
  close(): void
}

/** Where resources come from: an ADS or single-type gRPC stream, or files. */
export interface ResourceSource {
  /** `names` null = everything (LDS, CDS). */
  watch(typeUrl: string, names: readonly string[] | null, watcher: ResourceWatcher): Watch
}

export const TypeUrl = {
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  endpoint: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
} as const

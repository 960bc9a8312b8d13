import type { ExtensionFactory } from '../config/registry.ts'
import type { DrainDecision, WorkerServices } from '../config/services.ts'
import type { SharedGauge } from '../upstream/shared-state.ts'
import type { NetworkFilterFactory } from './filter.ts'

/** What a network filter's `create` gets: the worker's services and the listener it stands in. */
export interface NetworkFilterServices extends WorkerServices {
  readonly listenerName: string
  /** As in stat names: `127.0.0.1_80`. */
  readonly listenerAddress: string
  readonly filterChainName: string
  /** Whether connections of this listener are to be told to go. */
  readonly drainDecision: DrainDecision
  /** `filter_metadata` by name, for `%METADATA(LISTENER:…)%` and `%METADATA(LISTENER_FILTER_CHAIN:…)%`; null = none. */
  readonly listenerMetadata: Readonly<Record<string, unknown>> | null
  readonly filterChainMetadata: Readonly<Record<string, unknown>> | null
  /** The machine's own address, for XFF of loopback peers (Envoy: LocalInfo::address). */
  readonly localAddress: string
  readonly trafficDirection: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND'
  /** per_connection_buffer_limit_bytes of the listener. */
  readonly bufferLimit: number
  /** As many as the filter asked for by `sharedGauges`: they count over all workers, and for this place of the filter alone. */
  readonly gauges: readonly SharedGauge[]
}

/** Factory of a network filter: category `envoy.filters.network`. */
export interface NetworkFilterExtension<P extends object, C>
  extends ExtensionFactory<P, C, never, NetworkFilterFactory> {
  /** Must be the last of its chain; the others must not. */
  readonly terminal: boolean
  /** How many counts each place of the filter shares with its fellows on other workers. Absent = 0. */
  readonly sharedGauges?: number
  create(config: C, services: NetworkFilterServices): NetworkFilterFactory
}

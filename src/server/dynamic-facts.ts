import type { Kept } from './kept.ts'

/** A resource that came by xDS. */
export interface DynamicResource extends Kept {
  readonly version: string
}

/** envoy.admin.v3.UpdateFailureState: an update that was refused; what was there before stays. */
export interface UpdateFailure {
  /** The refused resource; null when it could not even be decoded. */
  readonly failed: Kept | null
  /** Wall clock, ms since the epoch. */
  readonly attempted: number
  readonly details: string
}

/** What xDS brought, as /config_dump and /certs show it. The subscriptions write it, the admin interface reads it. */
export class DynamicFacts {
  /** Version of the last accepted CDS and LDS answers; '' before the first. */
  clustersVersion = ''
  listenersVersion = ''
  /** RouteConfiguration by name. */
  readonly routes = new Map<string, DynamicResource>()
  /** Secret by name; `warming`: asked for and not there yet (no message is dumped for them). */
  readonly secrets = new Map<string, DynamicResource>()
  readonly warmingSecrets = new Set<string>()
  /** TypedExtensionConfig by name, by category; a category is there once a listener has asked for one. */
  readonly extensions = new Map<string, Map<string, DynamicResource>>()
  /** What the last LDS update refused, by name (error_state_tracker_; Envoy has no such thing for clusters). */
  readonly listenerFailures = new Map<string, UpdateFailure>()
}

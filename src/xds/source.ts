import type { ResourceType } from './resources/type.ts'
import type { XdsResource } from './resources/xds-resource.ts'

/** Resources of one response or file, for one watcher. */
export interface ResourceUpdate {
  /** version_info */
  readonly version: string
  /** In the order of the response; of several with one name the first counts, except for wildcard watchers, who get all. */
  readonly resources: readonly XdsResource[]
  /**
   * Incremental protocol: names the server no longer has, and what is in neither list is as it was. undefined: state of the world,
   * the list is all there is (complete types).
   */
  readonly removed?: readonly string[]
}

/** Whoever follows resources of one type (a Subscription, which keeps the statistics and hands over to `resources/*`). */
export interface ResourceWatcher {
  /** Takes the update over or throws: the text of the error becomes the NACK. What was good before stays. */
  onUpdate(update: ResourceUpdate): void
  /** The response was rejected, by this watcher or by another of the same type: a type has one verdict, as in Envoy. */
  onRejected(text: string): void
  /** The stream or file failed before it could be judged; `retries`: the source tries again by itself. */
  onFailure(text: string, retries: boolean): void
}

/** A running subscription. */
export interface Watch {
  /** Replaces the names; wildcard watches have none. */
  setNames(names: readonly string[]): void
  close(): void
}

/** Where resources come from: an ADS or single-type gRPC stream, or files. */
export interface ResourceSource {
  /** Files are read when the subscription begins; a stream is asked then, which Envoy counts as an attempt of its own. */
  readonly countsStart: boolean
  /** `names` null = everything (LDS, CDS). The watcher is never called before this returns. */
  watch(type: ResourceType, names: readonly string[] | null, watcher: ResourceWatcher): Watch
}

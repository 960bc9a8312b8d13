import type { ResourceUpdate } from '../source.ts'
import type { Unavailable, UpdateHandler } from '../xds-subscription.ts'
import type { XdsResource } from './xds-resource.ts'

/** Who needs one resource by name: a cluster its endpoints, a listener its routes, a transport socket its secret. */
export interface ResourceListener {
  /** Throws ConfigError to refuse; what was there before stays. */
  onResource(resource: XdsResource, version: string): void
  /** Do not wait for it any longer (it may come later). */
  onUnavailable(why: Unavailable): void
}

/** One name of a partial type (RDS, EDS, SDS): a response says nothing about what is not in it. */
export class NamedResource implements UpdateHandler {
  readonly #listener: ResourceListener
  readonly #onlyChanges: boolean
  #bytes: Uint8Array | null = null
  readonly #onApplied: () => void
  readonly #onEmpty: () => void
  readonly #onRemoved: (() => boolean) | null

  /**
   * @param onlyChanges the listener is not told about bytes it already has (RDS; EDS wants them, they renew endpoint_stale_after)
   * @param onApplied a change was taken over (config_reload)
   * @param onEmpty a file does not have it (update_empty)
   * @param onRemoved the server says it has it no more; returns whether it is gone, or stays all the same. By default as when it
   * is missing
   */
  constructor(
    listener: ResourceListener,
    onlyChanges: boolean,
    onApplied = (): void => {},
    onEmpty = (): void => {},
    onRemoved: (() => boolean) | null = null,
  ) {
    this.#listener = listener
    this.#onlyChanges = onlyChanges
    this.#onApplied = onApplied
    this.#onEmpty = onEmpty
    this.#onRemoved = onRemoved
  }

  onUpdate(update: ResourceUpdate): void {
    const resource = update.resources[0]
    if (resource === undefined) {
      if (update.removed !== undefined && this.#onRemoved !== null) {
        if (this.#onRemoved()) this.#bytes = null
        return
      }
      this.#onEmpty()
      this.#listener.onUnavailable('missing')
      return
    }
    const { bytes } = resource
    if (this.#onlyChanges && this.#bytes !== null && Buffer.compare(bytes, this.#bytes) === 0) return
    try {
      this.#listener.onResource(resource, resource.version)
    } catch (error) {
      throw resource.locate(error as Error)
    }
    if (this.#onlyChanges) this.#bytes = Uint8Array.from(bytes)
    this.#onApplied()
  }

  onUnavailable(why: Unavailable): void {
    this.#listener.onUnavailable(why)
  }
}

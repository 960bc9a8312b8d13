import type { envoy } from '../../config/gen/messages.d.ts'
import type { ResourceUpdate } from '../source.ts'
import type { Unavailable, UpdateHandler } from '../xds-subscription.ts'
import type { ResourceType } from './type.ts'

export const RTDS: ResourceType = {
  typeUrl: 'type.googleapis.com/envoy.service.runtime.v3.Runtime',
  typeName: 'envoy.service.runtime.v3.Runtime',
  word: 'Runtime',
  nameField: 'name',
  complete: false,
  method: '/envoy.service.runtime.v3.RuntimeDiscoveryService/StreamRuntime',
  deltaMethod: '/envoy.service.runtime.v3.RuntimeDiscoveryService/DeltaRuntime',
}

/** Who has a layer of the runtime that is discovered. */
export interface RuntimeTaker {
  /** The layer as it is now, nested as a Struct is. Throws ConfigError to refuse; what was there before stays. */
  onLayer(values: Readonly<Record<string, unknown>>): void
  /** It came, or is not waited for any longer. */
  onSettled(): void
}

/** One layer (source/common/runtime/runtime_impl.cc RtdsSubscription): each response has it, alone. */
export class RuntimeResource implements UpdateHandler {
  readonly #name: string
  readonly #taker: RuntimeTaker

  constructor(name: string, taker: RuntimeTaker) {
    this.#name = name
    this.#taker = taker
  }

  onUpdate({ resources, removed = [] }: ResourceUpdate): void {
    const [resource] = resources
    if (resources.length + removed.length !== 1) {
      throw new Error(
        `Unexpected RTDS resource length, number of added resources ${resources.length}, ` +
          `number of removed resources ${removed.length}`,
      )
    }
    if (resource === undefined) this.#taker.onLayer({})
    else {
      const { ownName } = resource
      if (ownName !== this.#name) throw new Error(`Unexpected RTDS runtime (expecting ${this.#name}): ${ownName}`)
      try {
        this.#taker.onLayer(resource.decodeWhole<envoy.service.runtime.v3.Runtime>().layer ?? {})
      } catch (error) {
        throw resource.locate(error as Error)
      }
    }
    this.#taker.onSettled()
  }

  onUnavailable(_: Unavailable): void {
    this.#taker.onSettled()
  }
}

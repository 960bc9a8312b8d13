import type { Loggers } from '../base/log.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { type ResourceError, reasonOf } from '../xds/nack.ts'
import type { ResourceSink } from '../xds/resources/complete-set.ts'
import { LDS } from '../xds/resources/lds.ts'
import type { XdsResource } from '../xds/resources/xds-resource.ts'
import { keptBytes } from './kept.ts'
import type { ResourceManager } from './resources.ts'

type ListenerProto = envoy.config.listener.v3.Listener

/** Where LDS goes (lds_api.cc): removals first, so that an address may move from one listener to another in one push. */
export class ListenerSink implements ResourceSink {
  readonly ready: () => void
  readonly #resources: ResourceManager
  readonly #loggers: Loggers

  constructor(resources: ResourceManager, loggers: Loggers, ready: () => void) {
    this.#resources = resources
    this.#loggers = loggers
    this.ready = ready
  }

  apply(version: string, changed: readonly XdsResource[], removed: readonly string[]): readonly ResourceError[] {
    const log = this.#loggers.get('upstream')
    const { listeners, dynamic } = this.#resources
    dynamic.listenerFailures.clear()
    let applied = false
    for (const name of removed) {
      const listener = listeners.get(name)
      if (listener === undefined || !listener.viaApi) continue
      listeners.remove(name)
      applied = true
      log.info(`lds: remove listener '${name}'`)
    }
    const refused: ResourceError[] = []
    for (const resource of changed) {
      const name = resource.ownName
      try {
        if (listeners.get(name)?.viaApi === false) continue
        const proto = resource.decodeWhole<ListenerProto>()
        const listener = this.#resources.parseListener(proto, resource.at, resource.version, true)
        this.#resources.putListener(listener)
        applied = true
        log.info(`lds: add/update listener '${name}'`)
      } catch (error) {
        refused.push({ name, error: error as Error })
        const details = reasonOf(error)
        log.warning(`lds: listener '${name}' config rejected: ${details}`)
        const failed = keptBytes(LDS.typeName, Uint8Array.from(resource.bytes))
        dynamic.listenerFailures.set(name, { failed, attempted: Date.now(), details })
      }
    }
    if (applied) dynamic.listenersVersion = version
    return refused
  }
}

import { collectGarbage } from '../base/collect-garbage.ts'
import { ValueWriter } from '../base/packed-values.ts'
import type { HcmConfig } from '../http/connection-manager-config.ts'
import { libc } from '../io/libc.ts'
import type { MainCluster } from './clusters.ts'
import { connectionManagersOf, type MainListener } from './listeners.ts'
import { shelve } from './shelf.ts'

/** Clusters whose configuration is compared in one go: some 2 ms. */
const AT_ONCE = 50

/**
 * Ten thousand clusters and virtual hosts take 100 MB as the objects that the parsers made. Long lists of messages, and of virtual
 * hosts, which only workers use, become bytes; parsed clusters share what is equal in them. Not for small configurations.
 */
export function shelveConfiguration(
  statics: object,
  listeners: Iterable<MainListener>,
  active: Iterable<MainCluster>,
): void {
  let any = shelve(statics, 'clusters')
  for (const listener of listeners) {
    for (const { route_config: routes } of connectionManagersOf(listener.proto)) {
      if (routes !== undefined) any = shelve(routes, 'virtual_hosts') || any
    }
    for (const routes of inlineRoutes(listener)) any = shelve(routes, 'virtualHosts') || any
  }
  if (!any) return
  const sharer = new PartSharer()
  const clusters = active[Symbol.iterator]()
  const next = (): void => {
    for (let left = AT_ONCE; left > 0; left--) {
      const { value: cluster } = clusters.next() as IteratorResult<MainCluster, undefined>
      if (cluster === undefined) {
        // In a turn of its own, when nothing of this is referred to any more.
        setImmediate(collectEverything)
        return
      }
      sharer.share(cluster.config)
    }
    setImmediate(next)
  }
  next()
}

function inlineRoutes({ config }: MainListener): object[] {
  const found: object[] = []
  for (const chain of [...config.filterChains, config.defaultFilterChain]) {
    for (const filter of chain?.filters ?? []) {
      if (!filter.typeUrl.endsWith('.HttpConnectionManager')) continue
      const { routeConfig } = filter.config as HcmConfig
      if (routeConfig !== null) found.push(routeConfig)
    }
  }
  return found
}

/** Makes equal parts of immutable configurations one object: of ten thousand clusters most say the same in most places. */
export class PartSharer {
  readonly #values = new ValueWriter()
  readonly #parts = new Map<number, object>()

  /** Everything below `owner`; itself it stays who it is. */
  share(owner: object): void {
    for (const [key, value] of Object.entries(owner) as [string, unknown][]) {
      if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) continue
      const id = this.#values.identify(value)
      const known = this.#parts.get(id)
      if (known === undefined) {
        this.#parts.set(id, value)
        this.share(value)
      } else if (known !== value) {
        ;(owner as Record<string, unknown>)[key] = known
      }
    }
  }
}

/**
 * What was read and is shelved now is garbage, and without traffic on the main thread V8 may keep it for minutes. Once per start of a
 * large configuration; it takes some 50 ms.
 */
function collectEverything(): void {
  collectGarbage('last-resort')
  libc()?.trim()
}

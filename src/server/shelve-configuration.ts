import { ValueWriter } from '../base/packed-values.ts'
import type { HcmConfig } from '../http/connection-manager-config.ts'
import type { MainCluster } from './clusters.ts'
import { connectionManagersOf, type MainListener } from './listeners.ts'
import { shelve } from './shelf.ts'

/** How long main may be kept from other work at a time, in ms. */
const AT_ONCE = 2

/**
 * Ten thousand clusters and virtual hosts take 100 MB as the objects that the parsers made. Long lists of messages, and of virtual
 * hosts, which only workers use, become bytes; parsed clusters share what is equal in them. Not for small configurations. `done` is
 * called when there is garbage to be collected.
 */
export function shelveConfiguration(
  statics: object,
  listeners: Iterable<MainListener>,
  active: Iterable<MainCluster>,
  done: () => void,
): void {
  const steps = shelveAll(statics, [...listeners], [...active])
  const next = (): void => {
    const until = performance.now() + AT_ONCE
    let step = steps.next()
    while (step.done !== true && performance.now() < until) step = steps.next()
    if (step.done !== true) setImmediate(next)
    else if (step.value) done()
  }
  next()
}

function* shelveAll(
  statics: object,
  listeners: readonly MainListener[],
  active: readonly MainCluster[],
): Generator<void, boolean> {
  let any = yield* shelve(statics, 'clusters')
  for (const listener of listeners) {
    for (const { route_config: routes } of connectionManagersOf(listener.proto)) {
      if (routes !== undefined) any = (yield* shelve(routes, 'virtual_hosts')) || any
    }
    for (const routes of inlineRoutes(listener)) any = (yield* shelve(routes, 'virtualHosts')) || any
  }
  if (!any) return false
  const sharer = new PartSharer()
  for (const cluster of active) {
    sharer.share(cluster.config)
    yield
  }
  return true
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

import { shelve } from '../base/shelf.ts'
import { connectionManagersOf, type MainListener } from './listeners.ts'

/** How long main may be kept from other work at a time, in ms. */
const AT_ONCE = 2

/**
 * Long lists of messages that only dumps read again become bytes, as config/long-lists.ts makes them at once where it can. The garbage
 * is collected when the thread rests (base/rest.ts).
 */
export function shelveConfiguration(statics: object, listeners: Iterable<MainListener>): void {
  const steps = shelveAll(statics, [...listeners])
  const next = (): void => {
    const until = performance.now() + AT_ONCE
    let step = steps.next()
    while (step.done !== true && performance.now() < until) step = steps.next()
    if (step.done !== true) setImmediate(next)
  }
  next()
}

function* shelveAll(statics: object, listeners: readonly MainListener[]): Generator<void> {
  yield* shelve(statics, 'clusters')
  for (const listener of listeners) {
    for (const { route_config: routes } of connectionManagersOf(listener.proto)) {
      if (routes !== undefined) yield* shelve(routes, 'virtual_hosts')
    }
  }
}

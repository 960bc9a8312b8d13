import { setTimeout as sleep } from 'node:timers/promises'
import type { Plan } from '../case.ts'
import { pinned } from '../pinning.ts'
import { nodeCommand } from '../place.ts'
import { treeMemory } from '../processes/tree.ts'
import type { MemoryUse } from '../result.ts'
import type { Target } from '../target.ts'
import { HeldDriver } from './held.ts'

export type IdleKind = 'http1' | 'tls'

export function idleArguments(kind: IdleKind | 'stream', count: number, then = 0): string[] {
  const more = then === 0 ? [] : ['--then', String(then)]
  return ['--kind', kind, '--count', String(count), ...more]
}

/** Proxies give memory back some seconds after the last request (Remora: two to three). */
const SETTLE_MS = { smoke: 200, standard: 4000, full: 12_000 }

/**
 * By then they have done all that they do for what rests: Remora collects after two seconds and moves together what is left after
 * six, of a larger heap after ten. In between, some MB come and go.
 */
const REST_MS = { smoke: 200, standard: 12_000, full: 12_000 }

/** Memory with `few` idle streams, and with `many` on the same connections. */
export async function idleStreams(
  few: number,
  many: number,
  target: Target,
  plan: Plan,
): Promise<{ readonly before: MemoryUse; readonly after: MemoryUse }> {
  const rest = REST_MS[plan.profile]
  return held(idleArguments('stream', few, many), target, plan, async driver => {
    const before = await memoryAfter(rest, target)
    driver.go()
    await driver.line(120)
    return { before, after: await memoryAfter(rest, target) }
  })
}

/** Memory without and with `count` idle connections. */
export async function idleMemory(
  kind: IdleKind,
  count: number,
  target: Target,
  plan: Plan,
): Promise<{ readonly before: MemoryUse; readonly after: MemoryUse }> {
  const settle = SETTLE_MS[plan.profile]
  // The first of them make the proxy load and build what all share.
  await held(idleArguments(kind, 20), target, plan, async () => {})
  const before = await memoryAfter(settle, target)
  const after = await held(idleArguments(kind, count), target, plan, () => memoryAfter(settle, target))
  return { before, after }
}

async function memoryAfter(milliseconds: number, target: Target): Promise<MemoryUse> {
  await sleep(milliseconds)
  return treeMemory(target.process.pid)
}

/** `look` is called when the driver has what it is to hold; it lets go afterwards, also when that fails. */
async function held<T>(
  what: readonly string[],
  target: Target,
  plan: Plan,
  look: (driver: HeldDriver) => Promise<T>,
): Promise<T> {
  const argv = [...what, '--port', String(target.sites.listen)]
  const driver = new HeldDriver(pinned(plan.pinning.load, nodeCommand('drivers/idle', ...argv)))
  try {
    await driver.line(120)
    return await look(driver)
  } finally {
    await driver.end()
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Plan } from '../case.ts'
import { pinned } from '../pinning.ts'
import { nodeCommand } from '../place.ts'
import { treeMemory } from '../processes/tree.ts'
import type { MemoryUse } from '../result.ts'
import type { Target } from '../target.ts'
import { HeldDriver } from './held.ts'

export type IdleKind = 'http1' | 'tls' | 'stream'

export function idleArguments(kind: IdleKind, count: number): string[] {
  return ['--kind', kind, '--count', String(count)]
}

/** Proxies give memory back some seconds after the last request (Remora: two to three). */
const SETTLE_MS = { smoke: 200, standard: 4000, full: 12_000 }

/** Memory without and with `count` idle connections or streams. */
export async function idleMemory(
  kind: IdleKind,
  count: number,
  target: Target,
  plan: Plan,
): Promise<{ readonly before: MemoryUse; readonly after: MemoryUse }> {
  const settle = SETTLE_MS[plan.profile]
  // The first of them make the proxy load and build what all share.
  const first = await hold(kind, 20, target, plan)
  await first.end()
  await sleep(settle)
  const before = treeMemory(target.process.pid)
  const driver = await hold(kind, count, target, plan)
  await sleep(settle)
  const after = treeMemory(target.process.pid)
  await driver.end()
  return { before, after }
}

async function hold(kind: IdleKind, count: number, target: Target, plan: Plan): Promise<HeldDriver> {
  const argv = [...idleArguments(kind, count), '--port', String(target.sites.listen)]
  const driver = new HeldDriver(pinned(plan.pinning.load, nodeCommand('drivers/idle', ...argv)))
  try {
    await driver.line(120)
  } catch (error) {
    await driver.end()
    throw error
  }
  return driver
}

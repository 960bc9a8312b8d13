import { setTimeout as sleep } from 'node:timers/promises'
import { stats } from './ask.ts'
import type { Checks } from './checks.ts'

/** Workers count for themselves; who has had an answer may ask before it is counted. */
const PATIENCE_SECONDS = 5

/** The statistics of an admin port as soon as they are `done`, or as they are when that takes too long. */
export async function statsUntil(
  port: number,
  done: (now: ReadonlyMap<string, number>) => boolean,
): Promise<ReadonlyMap<string, number>> {
  const end = Date.now() + PATIENCE_SECONDS * 1000
  for (;;) {
    const now = await stats(port)
    if (done(now) || Date.now() > end) return now
    await sleep(100)
  }
}

/** All of `names` must have grown since `before`. @returns what the statistics are now */
export async function checkMoved(
  checks: Checks,
  port: number,
  before: ReadonlyMap<string, number>,
  names: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const still = (now: ReadonlyMap<string, number>): string[] =>
    names.filter(name => (now.get(name) ?? 0) <= (before.get(name) ?? 0))
  const after = await statsUntil(port, now => still(now).length === 0)
  const left = still(after)
  checks.add(
    'stats moved',
    left.length === 0,
    left.length === 0 ? names.join(', ') : `did not move: ${left.join(', ')}`,
  )
  return after
}

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** How much to collect: the young generation (some ms), everything, or everything with all caches that V8 can make anew. */
export type Collection = 'minor' | 'major' | 'last-resort'

type Collector = (options: { type: 'minor' | 'major'; execution: 'sync'; flavor?: 'last-resort' }) => void

let collector: Collector | null = null

/** Collects the garbage of this thread, which stands still meanwhile: for moments in which it has nothing else to do. */
export function collectGarbage(what: Collection): void {
  collector ??= makeCollector()
  // Pages that become free would wait for their next use, 18 MB of them after a burst of 4,000 connections.
  setFlagsFromString('--no-memory-pool')
  if (what === 'last-resort') collector({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  else collector({ type: what, execution: 'sync' })
  setFlagsFromString('--memory-pool')
}

/** A function that only contexts made under the flag have: the process itself does not run with it. */
function makeCollector(): Collector {
  setFlagsFromString('--expose-gc')
  const made = runInNewContext('gc') as Collector
  setFlagsFromString('--no-expose-gc')
  return made
}

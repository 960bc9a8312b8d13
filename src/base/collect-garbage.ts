import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * `young`: the young generation, a few ms. `all`: everything, in small steps, with one pause of some ms at the end. `dense`: everything
 * at once, moved together so that most pages become free, two ms or more per MB that lives.
 */
export type Collection = 'young' | 'all' | 'dense'

type Collector = (options: { type: 'minor' | 'major'; execution: 'sync'; flavor?: 'last-resort' }) => void

let collector: Collector | null = null

/** Collects the garbage of this thread. What `all` asks for is done after this returns. */
export function collectGarbage(what: Collection): void {
  collector ??= makeCollector()
  if (what === 'dense') {
    collector({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    return
  }
  // The flag under which V8 begins to mark whenever it looks, which it does after collections of the young generation.
  if (what === 'all') setFlagsFromString('--stress-incremental-marking')
  collector({ type: 'minor', execution: 'sync' })
  if (what === 'all') setFlagsFromString('--no-stress-incremental-marking')
}

/**
 * A function that only contexts made under the flag have. The flags stay: they are the process's, and all its threads do the same. From then
 * on Node compiles its own modules anew when they are loaded: nothing but a large heap is collected before the start has ended.
 */
function makeCollector(): Collector {
  setFlagsFromString('--expose-gc')
  // Pages that become free would wait for their next use, 18 MB of them after a burst of 4,000 connections.
  setFlagsFromString('--no-memory-pool')
  // The one above comes too late for the pool that V8 made when it began; those pages would be kept for eight seconds.
  setFlagsFromString('--memory-pool-timeout=0')
  return runInNewContext('gc') as Collector
}

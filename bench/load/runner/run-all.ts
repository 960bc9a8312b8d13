import type { BenchCase, Plan } from '../case.ts'
import { checkBehaviour } from '../checks/behaviour.ts'
import type { PeerProgram } from '../peers/peer.ts'
import type { CaseResult, Check } from '../result.ts'
import type { Target } from '../target.ts'
import { derive } from './derive.ts'
import { estimatedSeconds, type PlanWish, peersFor, planFor } from './plan.ts'
import { runFresh, runOnTargets } from './run-case.ts'
import type { Session } from './session.ts'

/** Told what goes on. */
export interface Watcher {
  /** Seconds of all measurements together, as far as one can tell. */
  begin(totalSeconds: number): void
  phase(text: string): void
  measured(seconds: number): void
  finished(result: CaseResult): void
  trouble(text: string): void
}

interface Job {
  readonly one: BenchCase
  readonly plan: Plan
  readonly peers: readonly PeerProgram[]
}

/** All cases, in order. Cases that share a configuration share the processes; a peer that does not come up is left out of them. */
export async function runAll(
  cases: readonly BenchCase[],
  all: readonly PeerProgram[],
  wish: PlanWish,
  session: Session,
  watcher: Watcher,
): Promise<CaseResult[]> {
  const jobs = cases.map(one => {
    const plan = planFor(one, wish, session.pinning, session.folder)
    const { peers, notes } = peersFor(one, all, wish)
    plan.notes.push(...notes)
    return { one, plan, peers }
  })
  watcher.begin(jobs.reduce((sum, { one, plan, peers }) => sum + estimatedSeconds(one, plan, peers.length), 0))
  const results: CaseResult[] = []
  const add = (one: BenchCase, result: CaseResult): void => {
    for (const each of [result, ...(one.also ?? []).map(derived => derive(result, derived))]) {
      results.push(each)
      watcher.finished(each)
    }
  }
  for (const group of byConfiguration(jobs)) {
    const first = group[0]!
    if (first.one.fresh) add(first.one, await runOne(first, session, watcher))
    else await runGroup(group, session, watcher, add)
  }
  return results
}

async function runOne({ one, plan, peers }: Job, session: Session, watcher: Watcher): Promise<CaseResult> {
  watcher.phase(one.id)
  return runFresh(one, plan, peers, session, () => watcher.measured(estimatedSeconds(one, plan, 1) / plan.rounds))
}

async function runGroup(
  group: readonly Job[],
  session: Session,
  watcher: Watcher,
  add: (one: BenchCase, result: CaseResult) => void,
): Promise<void> {
  const { configuration } = group[0]!.one
  const targets: Target[] = []
  const troubles: string[] = []
  try {
    watcher.phase(`starting ${configuration.title}`)
    for (const peer of new Set(group.flatMap(job => job.peers))) {
      try {
        targets.push(await session.start(peer, configuration))
      } catch (error) {
        const text = (error as Error).message.split('\n').slice(0, 3).join(' | ').slice(0, 400)
        troubles.push(text)
        watcher.trouble(text)
      }
    }
    watcher.phase(`checking ${configuration.title}`)
    const checks = new Map<Target, readonly Check[]>()
    await Promise.all(targets.map(async target => checks.set(target, await checkBehaviour(target))))
    for (const { one, plan, peers } of group) {
      watcher.phase(one.id)
      plan.notes.push(...troubles)
      const own = targets.filter(target => peers.includes(target.peer))
      if (own.length === 0) continue
      const step = estimatedSeconds(one, plan, 1) / plan.rounds
      add(one, await runOnTargets(one, plan, own, checks, () => watcher.measured(step)))
    }
  } finally {
    for (const target of targets) await session.stop(target)
  }
}

/** Neighbours with the same configuration; a fresh case is always alone. */
function byConfiguration(jobs: readonly Job[]): Job[][] {
  const groups: Job[][] = []
  for (const job of jobs) {
    const last = groups[groups.length - 1]
    const before = last?.[0]
    if (
      last !== undefined &&
      before !== undefined &&
      !job.one.fresh &&
      !before.one.fresh &&
      before.one.configuration.id === job.one.configuration.id
    )
      last.push(job)
    else groups.push([job])
  }
  return groups
}

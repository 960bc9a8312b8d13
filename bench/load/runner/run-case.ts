import type { BenchCase, Plan } from '../case.ts'
import { checkBehaviour } from '../checks/behaviour.ts'
import type { PeerProgram } from '../peers/peer.ts'
import { BUSY_NEIGHBOURS } from '../processes/neighbours.ts'
import type { CaseResult, Check, PeerChecks, PeerId, Round } from '../result.ts'
import { spreadOf } from '../statistics/spread.ts'
import type { Target } from '../target.ts'
import { openLedger, settleLedger } from './accounting.ts'
import { WARM_UP_SECONDS } from './plan.ts'
import { measureRound } from './round.ts'
import type { Session } from './session.ts'
import { allRatios, summarise } from './summary.ts'

/** Told after every measurement, for the progress bar. */
export type Tick = () => void

/** A case on proxies that run already and have passed `checks`. */
export async function runOnTargets(
  one: BenchCase,
  plan: Plan,
  targets: readonly Target[],
  checks: ReadonlyMap<Target, readonly Check[]>,
  tick: Tick,
): Promise<CaseResult> {
  const rounds: Round[] = []
  const failed = new Set<Target>()
  const counts = new Map<Target, number>()
  const ledgers = new Map(await Promise.all(targets.map(async target => [target, await openLedger(target)] as const)))
  await one.prepare?.(targets, plan)
  // What is measured first must not pay for compiling its code and opening its upstream connections.
  if (plan.profile !== 'smoke') {
    for (const target of targets) {
      const warm = await attempt(one, target, { ...plan, seconds: WARM_UP_SECONDS }, -1, failed)
      counts.set(target, warm?.count ?? 0)
    }
  }
  for (let index = 0; index < plan.rounds; index++) {
    for (const target of targets) {
      if (failed.has(target)) continue
      const round = await attempt(one, target, plan, index, failed)
      if (round !== null) {
        rounds.push(round)
        counts.set(target, (counts.get(target) ?? 0) + round.count)
      }
      tick()
    }
  }
  const all: PeerChecks[] = []
  for (const target of targets) {
    const settled =
      countsRequests(one) && !failed.has(target)
        ? await settleLedger(target, ledgers.get(target)!, counts.get(target) ?? 0)
        : []
    all.push({ peer: target.peer.id, checks: [...(checks.get(target) ?? []), ...settled] })
  }
  return conclude(
    one,
    plan,
    targets.map(target => target.peer),
    rounds,
    all,
  )
}

/** A case that starts a new process for each measurement, checks it and measures it. */
export async function runFresh(
  one: BenchCase,
  plan: Plan,
  peers: readonly PeerProgram[],
  session: Session,
  tick: Tick,
): Promise<CaseResult> {
  const rounds: Round[] = []
  const checks = new Map<PeerProgram, Check[]>()
  const failed = new Set<PeerProgram>()
  for (let index = 0; index < plan.rounds; index++) {
    for (const peer of peers) {
      if (failed.has(peer)) continue
      try {
        const target = await session.start(peer, one.configuration, 120)
        try {
          const first = checks.get(peer)
          if (first === undefined)
            checks.set(peer, await checkBehaviour(target, plan.profile === 'smoke' ? 'quick' : 'full'))
          else first.push(...(await checkBehaviour(target, 'quick')).filter(check => !check.passed))
          rounds.push(await measureRound(one, target, plan, index))
        } finally {
          await session.stop(target)
        }
      } catch (error) {
        failed.add(peer)
        plan.notes.push(`${peer.id}: ${(error as Error).message.split('\n').slice(0, 3).join(' | ')}`)
      }
      tick()
    }
  }
  const all = peers.map(peer => ({ peer: peer.id, checks: checks.get(peer) ?? [] }))
  return conclude(one, plan, peers, rounds, all)
}

async function attempt(
  one: BenchCase,
  target: Target,
  plan: Plan,
  index: number,
  failed: Set<Target>,
): Promise<Round | null> {
  try {
    return await measureRound(one, target, plan, index)
  } catch (error) {
    failed.add(target)
    plan.notes.push(`${target.peer.id}: ${(error as Error).message.split('\n').slice(0, 3).join(' | ')}`)
    return null
  }
}

/** Cases whose operations are requests; handshakes and held connections are counted otherwise. */
function countsRequests(one: BenchCase): boolean {
  return one.metric.name.startsWith('requests') || one.value === 'bytes-per-cpu-second'
}

function conclude(
  one: BenchCase,
  plan: Plan,
  peers: readonly PeerProgram[],
  rounds: readonly Round[],
  checks: readonly PeerChecks[],
): CaseResult {
  const ids = peers.map(peer => peer.id)
  for (const { peer, checks: own } of checks)
    for (const check of own) if (!check.passed) plan.notes.push(`${peer} failed "${check.name}": ${check.detail}`)
  for (const id of ids) {
    const round = rounds.find(({ peer, unlike }) => peer === id && unlike !== undefined)
    if (round !== undefined) plan.notes.push(`${id}: ${round.unlike}`)
  }
  const busy = busyNeighbours(rounds)
  if (busy !== null) plan.notes.push(busy)
  if (countsRequests(one)) plan.notes.push(...waiting(ids, rounds))
  return {
    id: one.id,
    title: one.title,
    group: one.group,
    series: one.series,
    axis: one.axis,
    configuration: one.configuration.id,
    load: one.commands(plan),
    metric: one.metric,
    roundSeconds: plan.seconds,
    checks,
    rounds,
    summaries: summarise(ids, rounds, one),
    ratios: allRatios(ids, rounds, one.metric.higherIsBetter, checks),
    notes: [...new Set(plan.notes)],
    goal: one.goal,
  }
}

/** Less than this of a core, and the proxy was not what limits the throughput. */
const SATURATED = 0.97

/** What a proxy costs that waits for its load depends on how the requests come. */
function waiting(peers: readonly PeerId[], rounds: readonly Round[]): string[] {
  const notes: string[] = []
  for (const peer of peers) {
    const shares = spreadOf(
      rounds.filter(round => round.peer === peer).map(round => (round.cpuSeconds ?? 0) / round.seconds),
    )
    if (shares === null || shares.median >= SATURATED || shares.median === 0) continue
    notes.push(`${peer} used ${shares.median.toFixed(2)} of a core: it waited for the load or the upstream`)
  }
  return notes
}

/** A machine that is shared while it measures is the first thing to know about a spread. */
function busyNeighbours(rounds: readonly Round[]): string | null {
  const shares = spreadOf(rounds.map(round => round.neighbours ?? 0))
  if (shares === null || shares.max <= BUSY_NEIGHBOURS) return null
  const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
  return `other programs took ${percent(shares.median)} of the machine (at most ${percent(shares.max)}) while this was measured`
}

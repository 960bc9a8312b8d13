import type { BenchCase, Plan, ProfileName } from '../case.ts'
import type { PeerProgram } from '../peers/peer.ts'
import type { Pinning } from '../pinning.ts'

interface Size {
  readonly rounds: number
  readonly headlineRounds: number
  readonly freshRounds: number
  readonly seconds: number
}

const SIZES: Readonly<Record<ProfileName, Size>> = {
  smoke: { rounds: 1, headlineRounds: 1, freshRounds: 1, seconds: 1 },
  standard: { rounds: 3, headlineRounds: 5, freshRounds: 3, seconds: 2 },
  full: { rounds: 5, headlineRounds: 7, freshRounds: 5, seconds: 4 },
}

/** What comes before the rounds of a proxy that runs already: a JIT compiler has seen the hot functions by then. */
export const WARM_UP_SECONDS = 4

export interface PlanWish {
  readonly profile: ProfileName
  readonly rounds: number | null
  readonly seconds: number | null
  /** Empty = the profile decides. */
  readonly peers: readonly string[]
}

export function planFor(one: BenchCase, wish: PlanWish, pinning: Pinning, folder: string): Plan {
  const size = SIZES[wish.profile]
  const rounds = one.fresh ? size.freshRounds : one.headline ? size.headlineRounds : size.rounds
  return {
    profile: wish.profile,
    rounds: wish.rounds ?? rounds,
    seconds: wish.seconds ?? size.seconds,
    pinning,
    notes: [],
    folder,
  }
}

/** Who takes part, and why the others do not. */
export function peersFor(
  one: BenchCase,
  all: readonly PeerProgram[],
  wish: PlanWish,
): { readonly peers: readonly PeerProgram[]; readonly notes: readonly string[] } {
  const peers: PeerProgram[] = []
  const notes: string[] = []
  for (const peer of all) {
    if (wish.peers.length > 0 ? !wish.peers.includes(peer.id) : !takesPart(one, peer, wish.profile)) continue
    const why = peer.cannot(one.configuration) ?? one.leavesOut?.(peer) ?? null
    if (why === null) peers.push(peer)
    else if (!why.startsWith('nothing equivalent')) notes.push(`${peer.title} is left out: ${why}`)
  }
  return { peers, notes }
}

function takesPart(one: BenchCase, peer: PeerProgram, profile: ProfileName): boolean {
  if (peer.isEnvoy) return true
  return profile === 'full' || (profile === 'standard' && one.headline)
}

/** A guess, for the progress bar. */
export function estimatedSeconds(one: BenchCase, plan: Plan, peers: number): number {
  if (one.fresh) return peers * (plan.rounds * 3 + 4)
  return peers * (plan.rounds * (plan.seconds + 0.3) + (plan.profile === 'smoke' ? 0 : WARM_UP_SECONDS))
}

import type { LbPolicy } from '../cluster-config.ts'

type Hashing = Extract<LbPolicy, { kind: 'ring_hash' | 'maglev' }>

/** Sizes of a ring or Maglev table over hosts of these weights, without building it. Names are relative to `cluster.X.`. */
export function tableGauges(
  policy: Hashing,
  weights: readonly number[],
  set: (name: string, value: number) => void,
): void {
  let sum = 0
  for (const w of weights) sum += w
  const shares = weights.map(w => w / sum)
  const counts =
    policy.kind === 'ring_hash'
      ? ringCounts(shares, policy.minimumRingSize, policy.maximumRingSize)
      : maglevCounts(shares, policy.tableSize)
  let min = Number.POSITIVE_INFINITY
  let max = 0
  let total = 0
  for (const n of counts) {
    min = Math.min(min, n)
    max = Math.max(max, n)
    total += n
  }
  if (policy.kind === 'ring_hash') {
    set('ring_hash_lb.size', total)
    set('ring_hash_lb.min_hashes_per_host', min)
    set('ring_hash_lb.max_hashes_per_host', max)
  } else {
    set('maglev_lb.min_entries_per_host', min)
    set('maglev_lb.max_entries_per_host', max)
  }
}

function ringCounts(shares: readonly number[], minimum: number, maximum: number): number[] {
  const least = Math.min(...shares)
  const scale = Math.min(Math.ceil(least * minimum) / least, maximum)
  let current = 0
  let target = 0
  return shares.map(share => {
    target += scale * share
    const before = current
    while (current < target) current++
    return current - before
  })
}

/** How often each host gets its turn until the table is full; which places it takes does not matter. */
function maglevCounts(shares: readonly number[], size: number): number[] {
  const most = Math.max(...shares)
  const targets = shares.map(() => 0)
  const counts = shares.map(() => 0)
  let filled = 0
  for (let iteration = 1; filled < size; iteration++) {
    for (let i = 0; i < shares.length && filled < size; i++) {
      if (iteration * shares[i]! < targets[i]!) continue
      targets[i]! += most
      counts[i]!++
      filled++
    }
  }
  return counts
}

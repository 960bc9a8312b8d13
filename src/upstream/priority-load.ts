/** What the load of one priority is computed from. */
export interface PriorityCounts {
  readonly total: number
  readonly healthy: number
  readonly degraded: number
  readonly excluded: number
  /** Sums of weights, for weighted_priority_health. */
  readonly totalWeight: number
  readonly healthyWeight: number
  readonly degradedWeight: number
  readonly excludedWeight: number
}

export interface PriorityLoads {
  /** Per cent by priority; healthy and degraded together are 100. */
  readonly healthy: readonly number[]
  readonly degraded: readonly number[]
  readonly panic: readonly boolean[]
  /** Per cent by priority: hosts in use of all, overprovisioned, at most 100. What the loads are made of. */
  readonly health: readonly number[]
  readonly degradedHealth: readonly number[]
}

/**
 * Share of traffic of each priority and which of them are in panic, as LoadBalancerBase::recalculatePerPriorityState,
 * recalculatePerPriorityPanic and recalculateLoadInTotalPanic compute them (integer division included).
 * `overprovisioning`: per cent, 140. `panicThreshold`: per cent, 0 = never panic.
 */
export function computePriorityLoads(
  counts: readonly PriorityCounts[],
  overprovisioning: number,
  weighted: boolean,
  panicThreshold: number,
): PriorityLoads {
  const n = counts.length
  const health = new Array<number>(n).fill(0)
  const degradedHealth = new Array<number>(n).fill(0)
  let available = 0
  for (let i = 0; i < n; i++) {
    const c = counts[i]!
    const total = weighted ? c.totalWeight - c.excludedWeight : c.total - c.excluded
    if (c.total - c.excluded > 0 && total > 0) {
      const healthy = weighted ? c.healthyWeight : c.healthy
      const degraded = weighted ? c.degradedWeight : c.degraded
      health[i] = Math.min(100, Math.floor((overprovisioning * healthy) / total))
      degradedHealth[i] = Math.min(100, Math.floor((overprovisioning * degraded) / total))
    }
    available += health[i]! + degradedHealth[i]!
  }
  available = Math.min(100, available)
  const healthyLoad = new Array<number>(n).fill(0)
  const degradedLoad = new Array<number>(n).fill(0)
  if (available > 0) {
    const firstHealthy = distribute(healthyLoad, health, 100, available)
    const firstDegraded = distribute(degradedLoad, degradedHealth, remaining, available)
    // What is left comes from rounding down.
    if (remaining !== 0) {
      if (firstHealthy !== -1) healthyLoad[firstHealthy]! += remaining
      else degradedLoad[firstDegraded]! += remaining
    }
  }
  return withPanic(
    counts,
    { healthy: healthyLoad, degraded: degradedLoad, panic: [], health, degradedHealth },
    available,
    panicThreshold,
  )
}

/** Left over by the last `distribute`. */
let remaining = 0

function distribute(load: number[], availability: readonly number[], total: number, normalized: number): number {
  let first = -1
  for (let i = 0; i < availability.length; i++) {
    if (first < 0 && availability[i]! > 0) first = i
    load[i] = Math.min(total, Math.floor((availability[i]! * 100) / normalized))
    total -= load[i]!
  }
  remaining = total
  return first
}

function withPanic(
  counts: readonly PriorityCounts[],
  loads: PriorityLoads,
  available: number,
  panicThreshold: number,
): PriorityLoads {
  const n = counts.length
  const { health, degradedHealth } = loads
  const healthy = loads.healthy.slice()
  const degraded = loads.degraded.slice()
  const panic = new Array<boolean>(n).fill(false)
  const threshold = Math.min(100, panicThreshold)
  if (threshold === 0 && available === 0) {
    // Nobody can be chosen; the loads must still add up to 100.
    healthy[0] = 100
    return { healthy, degraded, panic, health, degradedHealth }
  }
  let total = true
  for (let i = 0; i < n; i++) {
    panic[i] = available !== 100 && inPanic(counts[i]!, threshold)
    total &&= panic[i]!
  }
  if (total) totalPanic(counts, healthy, degraded)
  return { healthy, degraded, panic, health, degradedHealth }
}

/** isHostSetInPanic: fewer than `threshold` per cent of the hosts are usable. */
export function inPanic(c: PriorityCounts, threshold: number): boolean {
  const hosts = c.total - c.excluded
  const usable = hosts === 0 ? 0 : (100 * (c.healthy + c.degraded)) / hosts
  return usable < Math.min(100, threshold)
}

/** Every priority panics: load goes by the number of hosts, whatever their health. */
function totalPanic(counts: readonly PriorityCounts[], healthy: number[], degraded: number[]): void {
  let hosts = 0
  for (const c of counts) hosts += c.total
  if (hosts === 0) {
    healthy.fill(0)
    degraded.fill(0)
    healthy[0] = 100
    return
  }
  let left = 100
  let first = -1
  for (let i = 0; i < counts.length; i++) {
    if (first === -1 && counts[i]!.total !== 0) first = i
    healthy[i] = Math.floor((100 * counts[i]!.total) / hosts)
    degraded[i] = 0
    left -= healthy[i]!
  }
  healthy[first]! += left
}

/** LoadBalancerBase::choosePriority. Adds 1000 for the degraded hosts of a priority. */
export const DEGRADED_CHOICE = 1000
export function choosePriority(hash100: number, healthy: readonly number[], degraded: readonly number[]): number {
  const point = hash100 + 1
  let sum = 0
  for (let i = 0; i < healthy.length; i++) {
    sum += healthy[i]!
    if (point <= sum) return i
  }
  for (let i = 0; i < degraded.length; i++) {
    sum += degraded[i]!
    if (point <= sum) return DEGRADED_CHOICE + i
  }
  return 0
}

import type { BenchCase } from '../case.ts'
import type { MemoryUse, PeerChecks, PeerId, PeerSummary, Ratio, Round } from '../result.ts'
import { compare } from '../statistics/ratio.ts'
import { medianLatency, medianMemory, medianOf, spreadOf } from '../statistics/spread.ts'

export function summarise(
  peers: readonly PeerId[],
  rounds: readonly Round[],
  one: Pick<BenchCase, 'value'>,
): PeerSummary[] {
  const summaries: PeerSummary[] = []
  for (const peer of peers) {
    const own = rounds.filter(round => round.peer === peer)
    const value = spreadOf(own.map(round => round.value))
    if (value === null) continue
    const timed = one.value !== 'own'
    summaries.push({
      peer,
      value,
      perSecond: timed ? spreadOf(own.map(round => round.count / round.seconds)) : null,
      cpuMicrosecondsPerOperation: timed
        ? spreadOf(own.map(round => ((round.cpuSeconds ?? 0) / round.count) * 1e6))
        : null,
      memory: medianMemory(own.map(round => round.memory).filter((memory): memory is MemoryUse => memory !== null)),
      latency: medianLatency(own.map(round => round.latency ?? []).filter(points => points.length > 0)),
      extra: medianExtra(own),
      errors: own.reduce((sum, round) => sum + round.errors, 0),
    })
  }
  return summaries
}

/** Remora against each of the others, and each of the others against Envoy. */
export function allRatios(
  peers: readonly PeerId[],
  rounds: readonly Round[],
  higherIsBetter: boolean,
  checks: readonly PeerChecks[],
): Ratio[] {
  const pairs: [PeerId, PeerId][] = []
  for (const peer of peers) if (peer !== 'remora' && peers.includes('remora')) pairs.push(['remora', peer])
  for (const peer of peers)
    if (peer !== 'remora' && peer !== 'envoy' && peers.includes('envoy')) pairs.push([peer, 'envoy'])
  const ratios: Ratio[] = []
  for (const [of, to] of pairs) {
    const ratio = compare(of, to, rounds, higherIsBetter, checks)
    if (ratio !== null) ratios.push(ratio)
  }
  return ratios
}

function medianExtra(rounds: readonly Round[]): Record<string, number> {
  const extra: Record<string, number> = {}
  for (const name of Object.keys(rounds[0]?.extra ?? {}))
    extra[name] = medianOf(rounds.map(round => round.extra[name] ?? 0))
  return extra
}

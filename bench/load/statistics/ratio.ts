import type { PeerChecks, PeerId, Ratio, Round } from '../result.ts'
import { spreadOf } from './spread.ts'

/** Fewer rounds say nothing about the spread. */
export const LEAST_ROUNDS = 3
/**
 * (max − min) ÷ median of the ratios of the rounds above which a median is not printed: with a wider spread, the median of
 * the next run is as likely as not a visibly different figure.
 */
export const WIDEST_SPREAD = 0.5
/** More errors than this per operation, and a proxy is measured that does not do its work. */
export const MOST_ERRORS = 0.001

/**
 * Compares round by round, because the two measurements of one round ran next to each other and share the machine's mood.
 * Greater than 1 means that `of` is better. Null when one of the two was not measured.
 */
export function compare(
  of: PeerId,
  to: PeerId,
  rounds: readonly Round[],
  higherIsBetter: boolean,
  checks: readonly PeerChecks[],
): Ratio | null {
  const ratios: number[] = []
  for (const round of rounds) {
    if (round.peer !== of) continue
    const other = rounds.find(candidate => candidate.peer === to && candidate.index === round.index)
    if (other === undefined || round.value <= 0 || other.value <= 0) continue
    ratios.push(higherIsBetter ? round.value / other.value : other.value / round.value)
  }
  const spread = spreadOf(ratios)
  if (spread === null) return null
  const why =
    failedChecks([of, to], checks) ??
    failedRounds([of, to], rounds) ??
    hidden(spread.min, spread.median, spread.max, ratios.length)
  return { of, to, ...spread, conclusive: why === null, why }
}

/** Why nobody may print the median of these ratios; null = it may be printed. */
export function hidden(min: number, median: number, max: number, rounds: number): string | null {
  if (rounds < LEAST_ROUNDS) return `${rounds} round${rounds === 1 ? '' : 's'}: at least ${LEAST_ROUNDS} are needed`
  if (min <= 1 && max >= 1) return `the rounds disagree on who is better (${min.toFixed(2)}–${max.toFixed(2)})`
  if ((max - min) / median > WIDEST_SPREAD)
    return `the rounds differ by more than ${WIDEST_SPREAD * 100} % of their median (${min.toFixed(2)}–${max.toFixed(2)})`
  return null
}

/** Why the rounds of these peers make no ratio, however their values are: refusing costs less than answering. */
export function failedRounds(peers: readonly PeerId[], all: readonly Round[]): string | null {
  for (const peer of peers) {
    const own = all.filter(round => round.peer === peer)
    if (own.some(({ unlike }) => unlike !== undefined))
      return `${peer} did not answer under load as it does when asked alone`
    const failed = own.find(({ errors, count }) => errors > count * MOST_ERRORS)
    if (failed !== undefined) return `${peer}: ${failed.errors} errors and ${failed.count} operations in one round`
  }
  return null
}

function failedChecks(peers: readonly PeerId[], all: readonly PeerChecks[]): string | null {
  for (const peer of peers) {
    const own = all.find(one => one.peer === peer)
    if (own === undefined || own.checks.length === 0) return `${peer}: its behaviour was not checked`
    const failed = own.checks.find(check => !check.passed)
    if (failed !== undefined) return `${peer} failed "${failed.name}": ${failed.detail}`
  }
  return null
}

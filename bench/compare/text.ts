import { micros, spread } from '../load/report/format.ts'
import { shortName } from '../load/report/peers.ts'
import type { CaseResult } from '../load/result.ts'
import { verdictOf } from './differ.ts'
import type { Comparison, Difference, PushComparison, RequestComparison } from './result.ts'

const LONGEST = 160
const LONGEST_NOTE = 400

/** One request that differs, with every difference on two lines. */
export function requestText({ number, method, url, differences }: RequestComparison): string {
  return differenceText(`${number}. ${method} ${url}`, differences)
}

/** One push that was answered differently, as `requestText`. */
export function pushText({ number, from, differences }: PushComparison): string {
  return differenceText(`push ${number} (${from})`, differences)
}

function differenceText(title: string, differences: readonly Difference[]): string {
  const lines = [shown(title)]
  for (const { aspect, what, envoy, remora } of differences) {
    lines.push(
      `   ${aspect}${what === '' ? '' : `, ${shown(what)}`}`,
      `     Envoy:  ${shown(envoy)}`,
      `     Remora: ${shown(remora)}`,
    )
  }
  return lines.join('\n')
}

/** The end of the output: counts, statistics, what was changed. */
export function summaryText({ pushes, requests, stats, notes, equal }: Comparison): string {
  const wrong = requests.filter(request => request.differences.length > 0).length
  const lines: string[] = []
  for (const name of stats.onlyEnvoy) lines.push(`stat only of Envoy: ${shown(name)}`)
  for (const name of stats.onlyRemora) lines.push(`stat only of Remora: ${shown(name)}`)
  for (const { name, envoy, remora } of stats.counts)
    lines.push(`stat ${shown(name)}: Envoy +${envoy}, Remora +${remora}`)
  for (const note of notes) lines.push(`note: ${shown(note)}`)
  const statistics = stats.onlyEnvoy.length + stats.onlyRemora.length + stats.counts.length
  const samePushes = pushes.filter(push => push.differences.length === 0).length
  if (pushes.length > 0)
    lines.push(`${samePushes} of ${pushes.length} pushes were answered alike: ${answersText(pushes)}`)
  lines.push(
    `${requests.length - wrong} of ${requests.length} requests agree; ${stats.common} stat names are common, ${statistics} differ`,
    equal ? 'equal' : 'different',
  )
  return lines.join('\n')
}

/** What the last push brought to the real Envoy: most readers want to know that it was not rejected. */
function answersText(pushes: readonly PushComparison[]): string {
  const types = pushes.at(-1)!.envoy.map(answer => `${answer.type} ${verdictOf(answer)} (${answer.names.length})`)
  return types.join(', ') || 'nothing was asked for'
}

/** What was measured, a line per proxy and the ratio. */
export function measurementText(one: CaseResult): string {
  const lines: string[] = []
  for (const { peer, cpuMicrosecondsPerOperation: cpu, latency } of one.summaries) {
    const at = (percentile: number) => latency?.find(point => point.percentile === percentile)?.microseconds ?? 0
    if (one.group === 'latency') {
      const shown = [50, 99, 99.9].map(percentile => `p${percentile} ${micros(at(percentile))}`)
      lines.push(`${shortName(peer)}: ${shown.join(', ')}`)
    } else if (cpu !== null) lines.push(`${shortName(peer)}: ${spread(cpu, 'µs')} of CPU per request`)
  }
  for (const ratio of one.ratios) {
    const figure = ratio.conclusive
      ? `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`
      : `open, ${ratio.why}`
    lines.push(`${shortName(ratio.of)} against ${shortName(ratio.to)}, ${one.metric.name}: ${figure}`)
  }
  for (const note of one.notes) lines.push(`note: ${shown(note, LONGEST_NOTE)}`)
  return lines.join('\n')
}

/** Terminals obey control characters, and answers of strangers may have them. */
function shown(text: string, longest = LONGEST): string {
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, found => JSON.stringify(found).slice(1, -1))
  return plain.length <= longest ? plain : `${plain.slice(0, longest)}…`
}

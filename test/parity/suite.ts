import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { differences } from '../../bench/wire/differences.ts'
import type { ScenarioObservation } from './observation.ts'
import { GroupRun } from './runner.ts'
import type { Group, Scenario } from './scenario.ts'
import { splitByListener } from './split.ts'

export type Recorded = Readonly<Record<string, ScenarioObservation>>

export interface Outcome {
  readonly name: string
  readonly observed: ScenarioObservation | null
  /** Empty when the proxy did as recorded. */
  readonly differences: readonly string[]
  readonly milliseconds: number
}

const RECORDED = join(import.meta.dirname, 'recorded')

/** Every group of test/parity/scenarios, each module's default export. */
export async function loadGroups(): Promise<Group[]> {
  const groups: Group[] = []
  for (const file of globSync(join(import.meta.dirname, 'scenarios', '*.ts')).sort()) {
    const module = (await import(file)) as { default: Group | Group[] }
    groups.push(...[module.default].flat())
  }
  const names = groups.flatMap(group => [
    group.name,
    ...group.scenarios.map(scenario => `${group.name}/${scenario.name}`),
  ])
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new Error(`two groups or scenarios are named ${twice}`)
  return groups
}

/** Groups with only the scenarios whose `group/name` contains one of the filters. */
export function select(groups: readonly Group[], filters: readonly string[]): Group[] {
  if (filters.length === 0) return [...groups]
  const wanted = (name: string) => filters.some(filter => name.includes(filter))
  return groups
    .map(group => ({ ...group, scenarios: group.scenarios.filter(s => wanted(`${group.name}/${s.name}`)) }))
    .filter(group => group.scenarios.length > 0)
}

export function readRecorded(group: string): Recorded {
  const file = join(RECORDED, `${group}.json`)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Recorded) : {}
}

export function writeRecorded(group: Group, recorded: Recorded): void {
  const inOrder = group.scenarios.flatMap(({ name }) => (recorded[name] === undefined ? [] : [[name, recorded[name]]]))
  writeFileSync(join(RECORDED, `${group.name}.json`), `${JSON.stringify(Object.fromEntries(inOrder), null, 1)}\n`)
}

/** Runs groups, `jobs` at a time, and compares each scenario with what `expectation` says of it. */
export async function runGroups(
  command: readonly string[],
  groups: readonly Group[],
  expectation: (group: Group, scenario: Scenario) => ScenarioObservation | undefined,
  onOutcome: (outcome: Outcome) => void = () => {},
  jobs = 2,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const queue = [...groups]
  const report = (outcome: Outcome) => {
    outcomes.push(outcome)
    onOutcome(outcome)
  }
  const worker = async () => {
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      await runGroup(command, group, expectation, report)
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return outcomes
}

async function runGroup(
  command: readonly string[],
  group: Group,
  expectation: (group: Group, scenario: Scenario) => ScenarioObservation | undefined,
  report: (outcome: Outcome) => void,
  isPart = false,
): Promise<void> {
  const fail = (scenario: Scenario, reason: string) =>
    report({ name: `${group.name}/${scenario.name}`, observed: null, differences: [reason], milliseconds: 0 })
  let run = new GroupRun(group)
  let broken: string | null = await startFailure(run, command)
  const parts = broken === null || isPart ? [] : splitByListener(group)
  if (parts.length > 0) {
    await run.stop()
    for (const part of parts) await runGroup(command, part, expectation, report, true)
    return
  }
  for (const scenario of group.scenarios) {
    if (broken !== null) {
      fail(scenario, broken)
      broken = `${broken.split('\n')[0]?.replace(' (as above)', '')} (as above)`
      continue
    }
    const start = Date.now()
    const expected = expectation(group, scenario)
    try {
      const observed = await run.run(scenario, expected)
      const found = expected === undefined ? ['nothing is recorded for this scenario'] : differences(expected, observed)
      report({ name: `${group.name}/${scenario.name}`, observed, differences: found, milliseconds: Date.now() - start })
    } catch (error) {
      fail(scenario, run.crash ?? `the harness failed: ${(error as Error).stack}`)
    }
    if (run.crash !== null) {
      // One crash must not hide what the other scenarios of the group would say.
      await run.stop()
      run = new GroupRun(group)
      broken = await startFailure(run, command)
    }
  }
  await run.stop()
}

/** Names of all stats that a group's proxy has when it is LIVE, with the group's names for ports; none when it does not start. */
export async function namesAtStart(command: readonly string[], group: Group): Promise<ReadonlySet<string>> {
  const run = new GroupRun(group)
  const failure = await startFailure(run, command)
  const names = failure === null ? await run.statNames() : new Set<string>()
  await run.stop()
  return names
}

async function startFailure(run: GroupRun, command: readonly string[]): Promise<string | null> {
  try {
    await run.start(command)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

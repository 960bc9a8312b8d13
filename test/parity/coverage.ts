import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Group } from './scenario.ts'

const CASES = join(import.meta.dirname, '../fixtures/envoy/responses-cases.json')

export interface Coverage {
  readonly total: number
  /** Probed cases that no scenario covers, in the order of the fixture. */
  readonly uncovered: readonly string[]
  /** Names in `covers` that are no probed case: typing mistakes. */
  readonly unknown: readonly string[]
}

/** Which of the probed responses (test/fixtures/envoy/responses-cases.json) the scenarios' `covers` name. */
export function coverage(groups: readonly Group[]): Coverage {
  const cases = JSON.parse(readFileSync(CASES, 'utf8')) as string[]
  const covered = new Set(groups.flatMap(group => group.scenarios.flatMap(scenario => scenario.covers ?? [])))
  return {
    total: cases.length,
    uncovered: cases.filter(name => !covered.has(name)),
    unknown: [...covered].filter(name => !cases.includes(name)),
  }
}

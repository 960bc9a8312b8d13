import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { coverage } from './coverage.ts'
import { loadGroups, readRecorded } from './suite.ts'

const groups = await loadGroups()

t.test('the list of probed responses without a scenario only shrinks', async t => {
  const listed = JSON.parse(readFileSync(join(import.meta.dirname, 'uncovered.json'), 'utf8')) as string[]
  const { uncovered, unknown } = coverage(groups)
  t.strictSame(unknown, [], 'names in covers are names of test/fixtures/envoy/responses-cases.json')
  const added = uncovered.filter(name => !listed.includes(name))
  const gone = listed.filter(name => !uncovered.includes(name))
  t.strictSame(added, [], 'a scenario that covered these is gone')
  t.strictSame(gone, [], 'these are covered now: take them out of test/parity/uncovered.json')
})

t.test('every scenario has a recorded expectation, and every expectation a scenario', async t => {
  for (const group of groups) {
    t.strictSame(
      Object.keys(readRecorded(group.name)),
      group.scenarios.map(scenario => scenario.name),
      group.name,
    )
  }
})

t.test('nothing machine-specific was recorded', async t => {
  for (const group of groups) {
    const text = JSON.stringify(readRecorded(group.name))
    t.notMatch(text, /127\.0\.0\.1[:_]\d{4,5}/, `${group.name}: a port`)
    t.notMatch(text, /\/(tmp|home|root|work|Users)\//, `${group.name}: a path`)
    t.notMatch(text, /20[2-9]\d \d\d:\d\d:\d\d GMT/, `${group.name}: a date`)
  }
})

/**
 * What `scripts/test` says at its end: `node scripts/test-outcome.ts OUTPUT [--again] FILE…`. OUTPUT is the TAP of the run of these files;
 * one without an outcome there has failed. With `--again`, as in a whole run, files that failed are run once more, alone, if they are few.
 * Writes `passed N`, `failed N`, `skipped N`, `flaky N` to $REMORA_TEST_SUMMARY where that is set. Ends with 1 when something failed for
 * good.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** More than a few are no chance: a second look would only take long. */
export const MOST_AGAIN = 5

/** TAP 14, "Directives": words behind the description of a point (or of a file) that take it out of both counts. `\\#` is only a character. */
const TAP_DIRECTIVE = /(?<!\\)# (?:skip|todo)\b/i

export interface FileOutcome {
  readonly file: string
  readonly ok: boolean
  /** Assertions; a file that ends badly without a failed one counts as one. */
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** Outcome of each file, from the TAP that `tap --reporter=tap` prints: files are subtests of the outermost level. */
export function outcomes(tap: string): FileOutcome[] {
  const found: FileOutcome[] = []
  /** Indentation at which a subtest is open, so that the next point there is its end → points before it. One without any counts itself. */
  const open = new Map<number, number>()
  let counts = { passed: 0, failed: 0, skipped: 0 }
  let points = 0
  /** Indentation of the diagnosis that we are in, or -1; one begins right behind its point, two deeper. Else `---` is what a test printed. */
  let yaml = -1
  let afterPoint = -1
  for (const line of tap.split('\n')) {
    const indent = line.length - line.trimStart().length
    const text = line.slice(indent)
    if (yaml >= 0 && (text === '' || indent >= yaml)) {
      if (indent === yaml && text === '...') yaml = -1
      continue
    }
    yaml = text === '---' && indent === afterPoint ? indent : -1
    if (text.startsWith('# Subtest: ')) open.set(indent, points)
    const point = /^(not )?ok \d+(?: - (.*))?$/.exec(text)
    afterPoint = point === null ? -1 : indent + 2
    if (point === null) continue
    const ok = point[1] === undefined
    const directive = TAP_DIRECTIVE.test(point[2] ?? '')
    const isEnd = open.has(indent) && open.get(indent) !== points
    open.delete(indent)
    if (indent > 0) {
      if (isEnd && !directive) continue
      points++
      if (directive) counts.skipped++
      else if (ok) counts.passed++
      else counts.failed++
      continue
    }
    if (!ok && counts.failed === 0) counts.failed = 1
    found.push({ file: (point[2] ?? '').replace(/ # .*$/, ''), ok: ok || directive, ...counts })
    counts = { passed: 0, failed: 0, skipped: 0 }
    // A file that was ended in the middle leaves some open.
    open.clear()
  }
  return found
}

/** The outcomes with what a second run of some files said in place of what the first did. */
export function replaced(first: readonly FileOutcome[], second: readonly FileOutcome[]): FileOutcome[] {
  return first.map(one => second.find(({ file }) => file === one.file) ?? one)
}

/** Of every file that was to be run: one that `found` has nothing of was not, or its line was lost; tap may have been killed. */
function ofEach(files: readonly string[], found: readonly FileOutcome[]): FileOutcome[] {
  const known = new Set(found.map(({ file }) => resolve(file)))
  const lost = files.filter(file => !known.has(resolve(file)))
  for (const file of lost) process.stdout.write(`no outcome: ${file}\n`)
  return [...found, ...lost.map(file => ({ file, ok: false, passed: 0, failed: 1, skipped: 0 }))]
}

function runAlone(file: string): FileOutcome {
  process.stdout.write(`\n# once more, alone: ${file}\n`)
  const { stdout, status } = spawnSync('tap', ['--reporter=tap', '--jobs=1', file], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [outcome] = outcomes(stdout)
  if (outcome === undefined) return { file, ok: false, passed: 0, failed: 1, skipped: 0 }
  if (!outcome.ok) process.stdout.write(stdout)
  return { ...outcome, file, ok: outcome.ok && status === 0 }
}

function main(output: string, files: readonly string[], again: boolean): number {
  const first = ofEach(files, outcomes(readFileSync(output, 'utf8')))
  const failed = first.filter(({ ok }) => !ok)
  const second = again && failed.length <= MOST_AGAIN ? failed.map(({ file }) => runAlone(file)) : []
  const all = replaced(first, second)
  const flaky = second.filter(({ ok }) => ok)
  if (second.length > 0) process.stdout.write('\n')
  for (const { file } of flaky) process.stdout.write(`flaky: ${file} failed beside the others and passed alone\n`)
  for (const { file, ok } of second) if (!ok) process.stdout.write(`failed: ${file} failed alone too\n`)
  const sum = (count: (one: FileOutcome) => number): number => all.reduce((total, one) => total + count(one), 0)
  const [passed, bad, skipped] = [sum(one => one.passed), sum(one => one.failed), sum(one => one.skipped)]
  if (second.length > 0) {
    process.stdout.write(
      `# in the end: ${passed} passed, ${bad} failed, ${skipped} skipped; ${flaky.length} flaky files\n`,
    )
  }
  const summary = process.env['REMORA_TEST_SUMMARY']
  if (summary !== undefined && summary !== '') {
    writeFileSync(summary, `passed ${passed}\nfailed ${bad}\nskipped ${skipped}\nflaky ${flaky.length}\n`)
  }
  return all.every(({ ok }) => ok) ? 0 : 1
}

if (process.argv[1] === import.meta.filename) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { again: { type: 'boolean', default: false } },
  })
  const [output, ...files] = positionals
  process.exitCode = main(output!, files, values.again)
}

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MOST_AGAIN, outcomes } from '../../../scripts/test-outcome.ts'

const ROOT = join(import.meta.dirname, '../../..')

/** A project with `scripts/test` and these test files: programs that print TAP. */
function project(t: Test, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'remora-second-try-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['scripts/test', 'scripts/test-outcome.ts', '.taprc', 'package.json', 'tsconfig.json'])
    cpSync(join(ROOT, name), join(folder, name))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin/envoy'), '#!/bin/sh\n', { mode: 0o755 })
  mkdirSync(join(folder, 'test'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'test', `${name}.test.ts`), text)
  return folder
}

function run(folder: string, ...args: string[]): { status: number | null; out: string; summary: string } {
  const env = environment(folder)
  const { status, stdout, stderr } = spawnSync(join(folder, 'scripts/test'), args, { encoding: 'utf8', env })
  const summary = readFileSync(env['REMORA_TEST_SUMMARY']!, 'utf8')
  return { status, out: stdout + stderr, summary: summary.replaceAll('\n', ' ') }
}

function environment(folder: string): Record<string, string | undefined> {
  // tap tells its children by variables that they are part of another run.
  const own = Object.entries(process.env).filter(([name]) => !/^_?TAP|^NODE_OPTIONS$/.test(name))
  return { ...Object.fromEntries(own), REMORA_TEST_SUMMARY: join(folder, 'summary'), ENVOY_BINARY: process.execPath }
}

const GOOD = `console.log('TAP version 14\\nok 1 - a\\nok 2 - b\\n1..2')`
const BAD = `console.log('TAP version 14\\nok 1 - a\\nnot ok 2 - never\\n  ---\\n  diff: it is so\\n  ...\\n1..2')`
/** Fails the first time only. */
const MOODY = `import { existsSync, writeFileSync } from 'node:fs'
const first = !existsSync('tried')
writeFileSync('tried', '')
console.log(\`TAP version 14\\nok 1 - a\\n\${first ? 'not ' : ''}ok 2 - at times\\n\${first ? '  ---\\n  diff: by chance\\n  ...\\n' : ''}1..2\`)`

t.test('a whole run tries what failed once more, alone; what passes then is named and does not count', async t => {
  const { status, out, summary } = run(project(t, { good: GOOD, moody: MOODY }))
  t.equal(status, 0, out)
  t.match(out, /not ok \d - at times/, 'the first failure is shown')
  t.match(out, 'diff: by chance')
  t.match(out, 'flaky: test/moody.test.ts failed beside the others and passed alone\n')
  t.equal(summary, 'passed 4 failed 0 skipped 0 flaky 1 ')
})

t.test('what fails again has failed', async t => {
  const { status, out, summary } = run(project(t, { good: GOOD, bad: BAD, moody: MOODY }))
  t.equal(status, 1)
  t.match(out, 'flaky: test/moody.test.ts failed')
  t.match(out, 'failed: test/bad.test.ts failed alone too\n')
  t.equal(summary, 'passed 5 failed 1 skipped 0 flaky 1 ')
})

t.test('a run of some tests has no second try, unless it asks for one', async t => {
  const folder = project(t, { moody: MOODY })
  const { status, out, summary } = run(folder, 'test')
  t.equal(status, 1)
  t.notMatch(out, 'flaky')
  t.equal(summary, 'passed 1 failed 1 skipped 0 flaky 0 ')
  rmSync(join(folder, 'tried'))
  t.equal(run(folder, '--again', 'test').status, 0)
})

t.test(`more than ${MOST_AGAIN} failed files are no chance`, async t => {
  const many = Object.fromEntries(Array.from({ length: MOST_AGAIN + 1 }, (_, i) => [`bad${i}`, BAD]))
  const { status, out, summary } = run(project(t, { ...many, good: GOOD }))
  t.equal(status, 1)
  t.notMatch(out, 'once more')
  t.equal(summary, 'passed 8 failed 6 skipped 0 flaky 0 ')
})

t.test('a file that was to be run and has no outcome has failed, whatever the others say', async t => {
  const killer = `process.kill(process.ppid, 'SIGKILL')`
  const folder = project(t, { killer, moody: MOODY })
  const { status, out, summary } = run(folder, '--again', 'test')
  t.not(status, 0)
  t.match(out, 'no outcome: test/killer.test.ts\n')
  t.match(out, 'failed: test/killer.test.ts failed alone too\n')
  t.match(summary, / failed 1 /)
})

t.test('a folder without tests is a mistake, not a reason to run all of them', async t => {
  const folder = project(t, { good: GOOD })
  mkdirSync(join(folder, 'empty'))
  const { status, stderr } = spawnSync(join(folder, 'scripts/test'), ['empty'], {
    encoding: 'utf8',
    env: environment(folder),
  })
  t.equal(status, 2)
  t.match(stderr, /no \*\.test\.ts in: empty/)
})

t.test(
  'counts are those of tap: assertions, empty subtests, skipped ones; a bad end of a file is a failure',
  async t => {
    const tap = `TAP version 14
# Subtest: test/a.test.ts
    # Subtest: one
        ok 1 - x
        not ok 2 - y
          ---
          diff: |
            ok 3 - not a point
          ...
        # Subtest: empty
            1..0
        ok 3 - empty
        ok 4 - later # SKIP not here
        ok 5 - says \\# TODO
        ---
        1..5
    not ok 1 - one # time=3ms
      ---
      ...
    1..1
not ok 1 - test/a.test.ts # time=76ms
  ---
  ...

# Subtest: test/b.test.ts
    ok 1 - x
    # Subtest: cut short
        ok 1 - y
not ok 2 - test/b.test.ts # time=6ms
# Subtest: test/c.test.ts
    1..0 # no iptables
ok 3 - test/c.test.ts # SKIP no iptables
`
    t.same(outcomes(tap), [
      { file: 'test/a.test.ts', ok: false, passed: 3, failed: 1, skipped: 1 },
      { file: 'test/b.test.ts', ok: false, passed: 2, failed: 1, skipped: 0 },
      { file: 'test/c.test.ts', ok: true, passed: 0, failed: 0, skipped: 0 },
    ])
  },
)

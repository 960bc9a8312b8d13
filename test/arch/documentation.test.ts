import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))

t.test('docs/support-matrix.md is what the code says', t => {
  const run = spawnSync(process.execPath, ['scripts/support-matrix.ts', '--check'], { cwd: root, encoding: 'utf8' })
  t.equal(run.status, 0, run.stderr)
  t.end()
})

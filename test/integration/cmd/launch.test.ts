import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const root = fileURLToPath(new URL('../../../', import.meta.url))

/** What a clone has after `npm ci`. */
function clone(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'remora-clone-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['bin', 'bench', 'proto', 'src', 'package.json'])
    cpSync(join(root, name), join(folder, name), { recursive: true })
  mkdirSync(join(folder, 'scripts'))
  for (const name of ['bundle.ts', 'bundle-loader.cjs'])
    cpSync(join(root, 'scripts', name), join(folder, 'scripts', name))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

function version(folder: string): string {
  return execFileSync(join(folder, 'bin/envoy'), ['--version'], { encoding: 'utf8', env: withoutSwitch() })
}

function withoutSwitch(): NodeJS.ProcessEnv {
  const { REMORA_FROM_SOURCES: _, ...env } = process.env
  return env
}

function bundles(folder: string): string[] {
  return readdirSync(join(folder, '.bundle')).filter(name => name !== 'stamp')
}

t.test(
  'a clone bundles its sources once, and again after every edit, so that the edited source is what runs',
  async t => {
    const folder = clone(t)
    t.match(version(folder), 'RELEASE/BoringSSL')
    t.equal(bundles(folder).length, 1)
    version(folder)
    t.equal(bundles(folder).length, 1, 'nothing has changed')

    appendFileSync(join(folder, 'src/cmd/envoy.ts'), "\nprocess.stdout.write('edited')\n")
    t.match(version(folder), 'edited')
    t.equal(bundles(folder).length, 2)

    // As old as its content is, the file that takes the place of another is a change.
    cpSync(join(root, 'src/cmd/envoy.ts'), join(folder, 'old.ts'), { preserveTimestamps: true })
    renameSync(join(folder, 'old.ts'), join(folder, 'src/cmd/envoy.ts'))
    t.notMatch(version(folder), 'edited')
  },
)

t.test('a source that cannot be bundled runs as it is, and says itself what is wrong', async t => {
  const folder = clone(t)
  appendFileSync(join(folder, 'src/base/version.ts'), '\nconst = 1\n')
  const { status, stderr } = spawnSync(join(folder, 'bin/envoy'), ['--version'], {
    encoding: 'utf8',
    env: withoutSwitch(),
  })
  t.not(status, 0)
  t.match(stderr, /version\.ts/)
})

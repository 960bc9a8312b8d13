import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeMessage } from '../../../src/config/binary.ts'
import { FileSource } from '../../../src/xds/filesystem.ts'
import { CDS } from '../../../src/xds/resources/cds.ts'
import { EDS } from '../../../src/xds/resources/eds.ts'
import type { ResourceType } from '../../../src/xds/resources/type.ts'
import type { ResourceUpdate, ResourceWatcher } from '../../../src/xds/source.ts'
import { encode, FakeLog, lenient } from './fakes.ts'

/** Hands events out one by one: a test waits for what must come, not for time. */
class Watcher implements ResourceWatcher {
  readonly #events: string[] = []
  #waiting: ((event: string) => void) | null = null
  act: (update: ResourceUpdate) => void = () => {}

  next(): Promise<string> {
    const event = this.#events.shift()
    if (event !== undefined) return Promise.resolve(event)
    // Watches do not keep a process alive, and this one has nothing else to do.
    const alive = setInterval(() => {}, 1000)
    return new Promise(resolve => {
      this.#waiting = event => {
        clearInterval(alive)
        resolve(event)
      }
    })
  }

  onUpdate(update: ResourceUpdate): void {
    this.act(update)
    this.#tell(`${update.version}: ${update.resources.map(r => r.name).join(' ')}`)
  }

  onRejected(text: string): void {
    this.#tell(`rejected ${text}`)
  }

  onFailure(text: string, retries: boolean): void {
    this.#tell(`failed ${retries} ${text}`)
  }

  #tell(event: string): void {
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting === null) this.#events.push(event)
    else waiting(event)
  }
}

const yaml = (version: string, ...names: string[]): string => `version_info: "${version}"
resources:
${names.map(name => `- "@type": ${CDS.typeUrl}\n  name: ${name}\n  connect_timeout: 1s\n`).join('')}`

function follow(t: Test, path: string, more: { type?: ResourceType; names?: string[]; directory?: string } = {}) {
  const watcher = new Watcher()
  const log = new FakeLog()
  const source = new FileSource(path, more.directory ?? '', lenient, log)
  const watch = source.watch(more.type ?? CDS, more.names ?? null, watcher)
  t.teardown(() => watch.close())
  return { watcher, log, watch }
}

t.test('a file moved onto the path is read', async t => {
  const dir = t.testdir({ 'cds.yaml': yaml('1', 'a') })
  const { watcher } = follow(t, join(dir, 'cds.yaml'))
  t.equal(await watcher.next(), '1: a')
  writeFileSync(join(dir, 'new'), yaml('2', 'a', 'b'))
  renameSync(join(dir, 'new'), join(dir, 'cds.yaml'))
  t.equal(await watcher.next(), '2: a b')
})

t.test('an edit in place is read, which Envoy does not do', async t => {
  const dir = t.testdir({ 'cds.yaml': yaml('1', 'a') })
  const { watcher } = follow(t, join(dir, 'cds.yaml'))
  t.equal(await watcher.next(), '1: a')
  writeFileSync(join(dir, 'cds.yaml'), yaml('2', 'a', 'b'))
  t.equal(await watcher.next(), '2: a b')
})

t.test('a mounted volume: the swap of a symbolic link is read, with and without watched_directory', async t => {
  for (const watched of [true, false]) {
    const dir = t.testdir({})
    const put = (version: string, ...names: string[]): void => {
      mkdirSync(join(dir, `..${version}`))
      writeFileSync(join(dir, `..${version}`, 'cds.yaml'), yaml(version, ...names))
      symlinkSync(`..${version}`, join(dir, '..data_tmp'))
      renameSync(join(dir, '..data_tmp'), join(dir, '..data'))
    }
    put('1', 'a')
    symlinkSync(join('..data', 'cds.yaml'), join(dir, 'cds.yaml'))
    const { watcher, watch } = follow(t, join(dir, 'cds.yaml'), watched ? { directory: dir } : {})
    t.equal(await watcher.next(), '1: a')
    put('2', 'b')
    t.equal(await watcher.next(), '2: b')
    watch.close()
  }
})

t.test('JSON and binary by the name of the file', async t => {
  const response = {
    version_info: 'pb',
    resources: [{ type_url: CDS.typeUrl, value: encode(CDS, { name: 'b', connect_timeout: '1s' }) }],
  }
  const dir = t.testdir({
    'cds.json': JSON.stringify({
      version_info: 'json',
      resources: [{ '@type': CDS.typeUrl, name: 'a', connect_timeout: '1s' }],
    }),
    'cds.pb': Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', response)),
  })
  t.equal(await follow(t, join(dir, 'cds.json')).watcher.next(), 'json: a')
  t.equal(await follow(t, join(dir, 'cds.pb')).watcher.next(), 'pb: b')
})

t.test('a file that does not parse is a failure with its line; the next good one is read', async t => {
  const dir = t.testdir({ 'cds.yaml': 'version_info: "1"\nresources: [\n' })
  const path = join(dir, 'cds.yaml')
  const { watcher, log } = follow(t, path)
  t.match(await watcher.next(), /^failed false .*cds\.yaml:\d+/s)
  t.match(log.lines.at(-1), /^warning Filesystem config update failure: /)
  writeFileSync(path, yaml('2', 'a'))
  t.equal(await watcher.next(), '2: a')
  rmSync(path)
  t.match(await watcher.next(), /^failed false Invalid path/)
})

t.test('a message that breaks a rule of its fields is a rejection, with its line', async t => {
  const dir = t.testdir({ 'cds.yaml': yaml('1', 'a').replace('1s', '0s') })
  const { watcher, log } = follow(t, join(dir, 'cds.yaml'))
  t.match(await watcher.next(), /^rejected Proto constraint .*cds\.yaml:5, resources\[0\]/)
  t.match(log.lines.at(-1), /^warning Filesystem config update rejected: /)
})

t.test("a refused update is told with Envoy's words", async t => {
  const dir = t.testdir({ 'cds.yaml': yaml('1', 'a') })
  const { watcher, log } = follow(t, join(dir, 'cds.yaml'))
  watcher.act = () => {
    throw new Error('not a')
  }
  t.equal(await watcher.next(), 'rejected not a')
  t.same(log.lines, ['warning Filesystem config update rejected: not a'])
})

t.test('a resource knows its file and line', async t => {
  const dir = t.testdir({ 'cds.yaml': yaml('1', 'a', 'b') })
  const { watcher } = follow(t, join(dir, 'cds.yaml'))
  let text = ''
  watcher.act = ({ resources }) => {
    const { at } = resources[1]!
    const { ConfigError } = errors
    text = resources[1]!.locate(new ConfigError('CONFIG_INVALID', at.field('connect_timeout'), 'too short')).message
  }
  const errors = await import('../../../src/base/errors.ts')
  await watcher.next()
  t.match(text, /too short\n {2}at .*cds\.yaml:8:\d+, resources\[1\]/)
})

t.test('a resource of another type is refused', async t => {
  const dir = t.testdir({ 'eds.yaml': yaml('1', 'a') })
  const { watcher } = follow(t, join(dir, 'eds.yaml'), { type: EDS, names: ['a'] })
  t.match(await watcher.next(), /^rejected .*Cluster does not match the type URL .*ClusterLoadAssignment/)
})

t.test('by name: only what was asked for; new names read the file again', async t => {
  const dir = t.testdir({
    'eds.yaml': `version_info: "1"\nresources:\n- "@type": ${EDS.typeUrl}\n  cluster_name: a\n- "@type": ${EDS.typeUrl}\n  cluster_name: b\n`,
  })
  const { watcher, watch } = follow(t, join(dir, 'eds.yaml'), { type: EDS, names: ['a'] })
  t.equal(await watcher.next(), '1: a')
  watch.setNames(['b', 'c'])
  t.equal(await watcher.next(), '1: b')
})

t.test('a directory that does not exist cannot be watched', t => {
  const source = new FileSource('/nope/cds.yaml', '', lenient, new FakeLog())
  t.throws(() => source.watch(CDS, null, new Watcher()), { code: 'CONFIG_RESOURCE' })
  t.end()
})

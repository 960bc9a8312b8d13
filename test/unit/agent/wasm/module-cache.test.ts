import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { wasmMetrics } from '../../../../src/agent/wasm/metrics.ts'
import { ModuleCache, type ModuleRequest } from '../../../../src/agent/wasm/module-cache.ts'
import { wasmOptionsOf } from '../../../../src/agent/wasm/options.ts'
import { wasmModule } from './packing.ts'

const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex')

class Setup {
  readonly folder: string
  readonly registry = new Registry()
  readonly cache: ModuleCache
  /** What is there to fetch, and what was fetched. */
  module = wasmModule('one')
  digest = 'd1'.repeat(32)
  readonly fetched: string[] = []
  now = 0

  constructor(t: Test, env: Record<string, string> = {}) {
    this.folder = join(t.testdir(), 'data')
    this.cache = new ModuleCache({
      folder: this.folder,
      wasm: wasmOptionsOf(env),
      metrics: wasmMetrics(this.registry),
      http: {
        fetch: async (url, insecure) => {
          this.fetched.push(`${url}${insecure ? ' insecure' : ''}`)
          if (this.module.length === 0) throw new Error('not there')
          return this.module
        },
      },
      images: {
        prepare: async ({ image, pullSecret, insecure }) => {
          this.fetched.push(`manifest ${image}${insecure ? ' insecure' : ''}${pullSecret ?? ''}`)
          if (this.digest === '') throw new Error('not there')
          return {
            checksum: this.digest,
            download: async () => {
              this.fetched.push(`layer ${image}`)
              if (this.module.length === 0) throw new Error('not there')
              return this.module
            },
          }
        },
      },
      now: () => this.now,
    })
    t.teardown(() => this.cache.close())
  }

  get(url: string, more: Partial<ModuleRequest> = {}): Promise<string> {
    return this.cache.get({
      url,
      checksum: '',
      resourceName: 'ns.plugin',
      resourceVersion: '1',
      timeoutMs: 30_000,
      pullSecret: null,
      pullPolicy: '',
      ...more,
    })
  }

  /** How often something was fetched since it was asked last. */
  took(): string[] {
    return this.fetched.splice(0)
  }
}

t.test('a module is kept under the hashed name and its checksum, and is fetched once', async t => {
  const setup = new Setup(t)
  const url = 'http://modules/one.wasm'
  const path = await setup.get(url)
  t.equal(path, join(setup.folder, sha256(url), `${sha256(setup.module)}.wasm`))
  t.same(readFileSync(path), setup.module)
  t.same(readdirSync(join(path, '..')).length, 1, 'nothing else stays')
  t.equal(await setup.get(url), path)
  t.equal(await setup.get(url, { checksum: sha256(setup.module) }), path)
  t.equal(await setup.get(url, { resourceVersion: '2' }), path, 'IfNotPresent is the default')
  t.same(setup.took(), [url])
  const page = await setup.registry.metrics()
  t.match(page, 'istio_agent_wasm_cache_entries 1')
  t.match(page, 'istio_agent_wasm_remote_fetch_count{result="success"} 1')
  t.match(page, 'istio_agent_wasm_cache_lookup_count{hit="true"} 3')
})

t.test('Always fetches for a new version of the resource, and for no other reason', async t => {
  const setup = new Setup(t)
  const url = 'http://modules/one.wasm'
  const always = { pullPolicy: 'Always' }
  const path = await setup.get(url, always)
  t.equal(await setup.get(url, always), path)
  t.equal(setup.took().length, 1)
  setup.module = wasmModule('two')
  t.not(await setup.get(url, { ...always, resourceVersion: '2' }), path)
  t.equal(setup.took().length, 1)
})

t.test('images with and without a tag share their module; latest is asked for anew, a digest never', async t => {
  const setup = new Setup(t, { WASM_INSECURE_REGISTRIES: 'r.io:5000,other' })
  const folder = sha256('oci://r.io:5000/a/plugin')
  const path = await setup.get('oci://r.io:5000/a/plugin:1', { pullSecret: ' secret' })
  t.equal(path, join(setup.folder, folder, `${setup.digest}.wasm`))
  t.same(setup.took(), ['manifest r.io:5000/a/plugin:1 insecure secret', 'layer r.io:5000/a/plugin:1'])
  t.equal(await setup.get(`oci://r.io:5000/a/plugin@sha256:${setup.digest}`), path)
  t.equal(await setup.get('oci://r.io:5000/a/plugin:1', { resourceVersion: '2' }), path)
  t.same(setup.took(), [])
  t.equal(await setup.get('oci://r.io:5000/a/plugin:latest'), path)
  t.equal(await setup.get('oci://r.io:5000/a/plugin:latest'), path)
  t.same(setup.took(), ['manifest r.io:5000/a/plugin:latest insecure'], 'the layers are here')
  setup.digest = 'd2'.repeat(32)
  t.not(await setup.get('oci://r.io:5000/a/plugin:latest', { resourceVersion: '2' }), path)
  t.equal(setup.took().length, 2)
  const ifNotPresent = { pullPolicy: 'IfNotPresent', resourceVersion: '3' }
  t.not(await setup.get('oci://r.io:5000/a/plugin:latest', ifNotPresent), path)
  t.same(setup.took(), [])
})

t.test('a wrong checksum, what is no module, and what cannot be had are errors and counted', async t => {
  const setup = new Setup(t)
  const wrong = { checksum: '00'.repeat(32) }
  await t.rejects(setup.get('http://m/x', wrong), /has checksum .*, which does not match: 0000/)
  await t.rejects(setup.get('oci://r.io/a/b:1', wrong), /which does not match: 0000/)
  t.notOk(
    setup.took().some(line => line.startsWith('layer')),
    'nothing is downloaded for it',
  )
  await t.rejects(setup.get(`oci://r.io/a/b@sha256:${'00'.repeat(32)}`), /which does not match: 0000/)
  setup.module = Buffer.from('no module')
  await t.rejects(setup.get('https://m/x'), /fetched Wasm binary from https:\/\/m\/x is invalid/)
  setup.module = Buffer.alloc(0)
  await t.rejects(setup.get('https://m/x'), { message: 'not there' })
  await t.rejects(setup.get('oci://r.io/a/b:1'), /could not fetch Wasm binary: not there/)
  setup.digest = ''
  await t.rejects(setup.get('oci://r.io/a/b:1'), /could not fetch Wasm OCI image: not there/)
  await t.rejects(setup.get('ftp://m/x'), /unsupported Wasm module downloading URL scheme: ftp/)
  await t.rejects(setup.get('http://'), /fail to parse Wasm module fetch url/)
  await t.rejects(setup.get(''), /unsupported Wasm module downloading URL scheme/)
  const page = await setup.registry.metrics()
  for (const count of [
    'checksum_mismatched"} 3',
    'fetch_failure"} 1',
    'download_failure"} 2',
    'manifest_failure"} 1',
  ]) {
    t.match(page, `istio_agent_wasm_remote_fetch_count{result="${count}`)
  }
  t.notOk(existsSync(setup.folder), 'no file of any')
})

t.test('a tag that has moved is known although the module that it led to goes', async t => {
  const setup = new Setup(t, { WASM_MODULE_EXPIRY: '1m' })
  const url = 'oci://r.io/a/plugin:latest'
  await setup.get(url)
  setup.digest = 'd2'.repeat(32)
  setup.now = 60_000
  const path = await setup.get(url, { resourceVersion: '2' })
  setup.now = 60_001
  setup.cache.purge()
  setup.took()
  setup.digest = ''
  t.equal(await setup.get(url, { resourceVersion: '2' }), path)
  t.same(setup.took(), [], 'the registry is not needed')
})

t.test('a module that nothing asks for during the expiry goes, and is fetched anew', async t => {
  const setup = new Setup(t, { WASM_MODULE_EXPIRY: '1m' })
  const url = 'http://modules/one.wasm'
  const path = await setup.get(url)
  setup.now = 60_000
  setup.cache.purge()
  t.ok(existsSync(path))
  await setup.get(url)
  setup.now = 120_000
  setup.cache.purge()
  t.ok(existsSync(path), 'asking keeps it')
  setup.now = 120_001
  setup.cache.purge()
  t.notOk(existsSync(path))
  t.match(await setup.registry.metrics(), 'istio_agent_wasm_cache_entries 0')
  t.equal(setup.took().length, 1)
  t.equal(await setup.get(url), path)
  t.ok(existsSync(path))
  t.equal(setup.took().length, 1)
})

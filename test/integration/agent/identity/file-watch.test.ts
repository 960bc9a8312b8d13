import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { FileWatch } from '../../../../src/agent/identity/file-watch.ts'
import { configureLog } from '../../../../src/agent/log.ts'
import { until } from '../../../harness/until.ts'

configureLog({ write: () => {} })

function setUp(t: { teardown: (fn: () => void) => void }): { folder: string; watch: FileWatch; seen: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'remora-watch-'))
  const seen: string[] = []
  const watch = new FileWatch(
    5,
    names => seen.push(...names),
    () => {},
  )
  t.teardown(() => {
    watch.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { folder, watch, seen }
}

t.test('a file written in place and one replaced by rename, under every name it has', async t => {
  const { folder, watch, seen } = setUp(t)
  const path = join(folder, 'cert.pem')
  writeFileSync(path, 'one')
  watch.add(path, 'default')
  watch.add(path, 'file-cert:x')
  writeFileSync(path, 'two')
  await until(() => seen.length === 2)
  t.same(seen.sort(), ['default', 'file-cert:x'])
  writeFileSync(`${path}.new`, 'three')
  renameSync(`${path}.new`, path)
  await until(() => seen.length === 4)
  t.equal(seen.length, 4)
})

t.test('the kubelet’s way: ..data is turned to another folder', async t => {
  const { folder, watch, seen } = setUp(t)
  for (const version of ['..v1', '..v2', '..v3']) {
    mkdirSync(join(folder, version))
    writeFileSync(join(folder, version, 'cert.pem'), version)
  }
  symlinkSync('..v1', join(folder, '..data'))
  symlinkSync('..data/cert.pem', join(folder, 'cert.pem'))
  watch.add(join(folder, 'cert.pem'), 'default')
  for (const [index, version] of ['..v2', '..v3'].entries()) {
    symlinkSync(version, join(folder, '..next'))
    renameSync(join(folder, '..next'), join(folder, '..data'))
    await until(() => seen.length === index + 1)
  }
  writeFileSync(join(folder, '..v3', 'cert.pem'), 'in place')
  await until(() => seen.length === 3)
  t.same(seen, ['default', 'default', 'default'])
})

t.test('a folder on the way that is a link', async t => {
  const { folder, watch, seen } = setUp(t)
  for (const version of ['a', 'b']) {
    mkdirSync(join(folder, version))
    writeFileSync(join(folder, version, 'cert.pem'), version)
  }
  symlinkSync('a', join(folder, 'latest'))
  watch.add(join(folder, 'latest/cert.pem'), 'x')
  rmSync(join(folder, 'latest'))
  symlinkSync('b', join(folder, 'latest'))
  await until(() => seen.length === 1)
  t.same(seen, ['x'])
})

t.test('a folder that is removed and made again, and a file that comes later', async t => {
  const { folder, watch, seen } = setUp(t)
  const path = join(folder, 'certs/cert.pem')
  watch.add(path, 'x')
  mkdirSync(join(folder, 'certs'))
  writeFileSync(path, 'one')
  await until(() => seen.length === 1)
  rmSync(join(folder, 'certs'), { recursive: true })
  mkdirSync(join(folder, 'certs'))
  writeFileSync(path, 'two')
  await until(() => seen.length === 2)
  writeFileSync(path, 'three')
  await until(() => seen.length === 3)
  t.same(seen, ['x', 'x', 'x'])
})

t.test('the same contents are no news', async t => {
  const { folder, watch, seen } = setUp(t)
  const path = join(folder, 'cert.pem')
  const other = join(folder, 'other.pem')
  writeFileSync(path, 'one')
  writeFileSync(other, 'one')
  watch.add(path, 'same')
  watch.add(other, 'other')
  writeFileSync(path, 'one')
  writeFileSync(other, 'two')
  await until(() => seen.length > 0)
  t.same(seen, ['other'])
})

import t from 'tap'
import type { HcmConfig } from '../../../src/http/connection-manager-config.ts'
import { normalizedPath, normalizePath, PathResult } from '../../../src/http/path-normalize.ts'

const off = { normalizePath: false, mergeSlashes: false, escapedSlashes: 'KEEP_UNCHANGED' } as HcmConfig

function run(path: string, config: Partial<HcmConfig>): string | number {
  const result = normalizePath(path, { ...off, ...config })
  return result === PathResult.Changed ? normalizedPath() : result
}

t.test('a fragment is refused whatever the options say', async t => {
  t.equal(run('/a#b', {}), PathResult.Reject)
})

t.test('nothing changes without options', async t => {
  t.equal(run('/a/../b//c%2f', {}), PathResult.Unchanged)
})

t.test('normalize_path removes dot segments and never climbs above the root', async t => {
  const config = { normalizePath: true }
  t.equal(run('/a/./b/../c', config), '/a/c')
  t.equal(run('/../../a', config), '/a')
  t.equal(run('/a/..', config), '/')
  t.equal(run('/a/.', config), '/a/')
})

t.test('normalize_path decodes unreserved characters before it looks for dots', async t => {
  t.equal(run('/a/%2e%2E/b', { normalizePath: true }), '/b')
  t.equal(run('/%7Euser', { normalizePath: true }), '/~user')
  t.equal(run('/a%20b', { normalizePath: true }), PathResult.Unchanged)
})

t.test('backslashes are slashes and an encoded NUL is refused', async t => {
  t.equal(run('/a\\b', { normalizePath: true }), '/a/b')
  t.equal(run('/a%00', { normalizePath: true }), PathResult.Reject)
})

t.test('merge_slashes leaves the query alone', async t => {
  t.equal(run('//a///b?c=//d', { mergeSlashes: true }), '/a/b?c=//d')
})

t.test('escaped slashes are kept, refused, forwarded or redirected as told', async t => {
  const path = '/a%2Fb%5cc?q=%2F'
  t.equal(run(path, {}), PathResult.Unchanged)
  t.equal(run(path, { escapedSlashes: 'REJECT_REQUEST' }), PathResult.Reject)
  t.equal(run(path, { escapedSlashes: 'UNESCAPE_AND_FORWARD' }), '/a/b\\c?q=%2F')
  t.equal(run(path, { escapedSlashes: 'UNESCAPE_AND_REDIRECT' }), PathResult.Redirect)
  t.equal(normalizedPath(), '/a/b\\c?q=%2F')
})

t.test('escaped slashes are decoded before dot segments are removed', async t => {
  t.equal(run('/a%2F..%2Fb', { escapedSlashes: 'UNESCAPE_AND_FORWARD', normalizePath: true }), '/b')
})

t.test('what one configuration leaves as it is another may change', async t => {
  const [none, merge, reject] = [
    off,
    { ...off, mergeSlashes: true },
    { ...off, escapedSlashes: 'REJECT_REQUEST' },
  ] as HcmConfig[]
  for (let i = 0; i < 2; i++) {
    t.equal(normalizePath('/a//b%2f', { ...none!, normalizePath: true }), PathResult.Unchanged)
    t.equal(normalizePath('/a//b%2f', merge!), PathResult.Changed)
    t.equal(normalizedPath(), '/a/b%2f')
    t.equal(normalizePath('/a//b%2f', reject!), PathResult.Reject)
  }
})

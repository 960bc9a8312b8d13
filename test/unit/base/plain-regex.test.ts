import { RE2JS } from 're2js'
import t from 'tap'
import { isPlainRegex } from '../../../src/base/plain-regex.ts'
import { compileRegex, regexError } from '../../../src/base/regex.ts'
import { Random } from '../codec/http2/random.ts'

t.test('patterns of a mesh are plain', async t => {
  for (const pattern of [
    String.raw`vhost\..*\.route\..*`,
    String.raw`^(cluster_manager\.cds|listener_manager\.lds)\.(update_success|update_rejected)$`,
    String.raw`^(server\.state|listener_manager\.workers_started)`,
    '.*',
    'spiffe://cluster.local/ns/[a-z0-9.-]+/sa/(?:a|b)+?',
  ])
    t.equal(isPlainRegex(pattern), true, pattern)
})

t.test('what RE2 rejects, or may reject, is not', async t => {
  for (const pattern of [
    'a**',
    '*a',
    '(a',
    'a)',
    '(?P<x>a)',
    'a{2,1}',
    '[z-a]',
    '[]',
    'a\\',
    '\\1',
    '\\Qa',
    '(?=a)',
    'ä',
    '^*',
  ])
    t.equal(isPlainRegex(pattern), false, pattern)
})

t.test('every plain pattern is one that RE2 accepts, and V8 reads it in the same way', async t => {
  const parts = [
    'a',
    'b',
    '.',
    '*',
    '+',
    '?',
    '|',
    '(',
    '(?:',
    ')',
    '^',
    '$',
    '[a-z]',
    '[^ab-]',
    '\\.',
    '\\d',
    '\\S',
    '-',
    '{',
  ]
  const random = new Random(1)
  const subjects = ['', 'a', 'b', 'ab', 'ba', 'a.b', '1', 'aab-', ' ', 'a\nb']
  let plain = 0
  for (let round = 0; round < 20_000; round++) {
    let pattern = ''
    for (let n = 1 + random.below(8); n > 0; n--) pattern += parts[random.below(parts.length)]!
    if (!isPlainRegex(pattern)) continue
    plain++
    const re2 = RE2JS.compile(pattern)
    const own = compileRegex(pattern)
    for (const subject of subjects) {
      if (own.fullMatch(subject) !== re2.testExact(subject)) t.fail(`${pattern} on ${JSON.stringify(subject)}`)
    }
  }
  t.ok(plain > 1000, `${plain} of them`)
})

t.test('a pattern that may match anywhere is one for V8, with the meaning that RE2 gives it', async t => {
  for (const pattern of ['b', '^b', 'b$', '^(a|b)$', 'a.b']) {
    t.equal(regexError(pattern), null)
    const anywhere = `(?s:.*)(?:${pattern})(?s:.*)`
    const regex = compileRegex(anywhere)
    t.equal(regex.constructor.name, 'V8Regex', anywhere)
    const re2 = RE2JS.compile(anywhere)
    for (const subject of ['', 'b', 'ab', 'a\nb', 'b\n', 'a\n\nb\n', 'xbx'])
      t.equal(regex.fullMatch(subject), re2.testExact(subject), `${anywhere} on ${JSON.stringify(subject)}`)
  }
})

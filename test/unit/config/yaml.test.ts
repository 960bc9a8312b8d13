import { readdirSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { stringify } from 'yaml'
import { decodeMessage } from '../../../src/config/binary.ts'
import { toJson } from '../../../src/config/json-writer.ts'
import { loadBootstrap } from '../../../src/config/load.ts'
import { parseYaml, parseYamlSlowly } from '../../../src/config/yaml.ts'
import { NOT_UNDERSTOOD, parseYamlFast } from '../../../src/config/yaml-fast.ts'

/** text of a flow list → the JSON the real Envoy printed for it */
const SCALARS: readonly (readonly [string, unknown])[] = [
  ['5', 5],
  ['0x10', 16],
  ['010', 8],
  ['08', '08'],
  ['+5', 5],
  ['-5', -5],
  ['0x', '0x'],
  ['1_000', '1_000'],
  ['5000000000', '5000000000'],
  ['-5000000000', '-5000000000'],
  ['9223372036854775807', '9223372036854775807'],
  ['9223372036854775808', '9223372036854775808'],
  ['1.5', '1.5'],
  ['1e3', '1e3'],
  ['.inf', '.inf'],
  ['.nan', '.nan'],
  ['~', null],
  ['null', null],
  ['NULL', null],
  ['nUll', 'nUll'],
  ['y', true],
  ['Y', true],
  ['yes', true],
  ['YES', true],
  ['yEs', 'yEs'],
  ['n', false],
  ['on', true],
  ['Off', false],
  ['TRUE', true],
  ['tRue', 'tRue'],
  ['"5"', '5'],
  ['!!str 5', 5],
  ['! 5', '5'],
  ['!!int "5"', 5],
  ['2001-01-01', '2001-01-01'],
  ['0o17', '0o17'],
  ['0b1', '0b1'],
  ['-0x10', -16],
  ['2147483647', 2147483647],
  ['2147483648', '2147483648'],
  ['-2147483648', -2147483648],
  ['1:30', '1:30'],
  ["''", ''],
  ['0', 0],
  ['00', 0],
  ['0X1F', 31],
  ['"a\\tb"', 'a\tb'],
  ['0xFFFFFFFFFFFFFFFF', '0xFFFFFFFFFFFFFFFF'],
  ['!!float 5', 5],
  ['!foo 5', 5],
  ['!!bool y', true],
  ['!!null 5', 5],
]

t.test('plain scalars mean what yaml-cpp and Envoy make of them', t => {
  for (const [text, value] of SCALARS) {
    t.strictSame(parseYaml(`[${text}]`, 'test'), [value], text)
    t.strictSame(parseYamlSlowly(`k: ${text}`, 'test').value, { k: value }, `${text}, general parser`)
  }
  t.end()
})

t.test('keys are text; !ignore hides an entry; the last of equal keys wins; only the first document counts', t => {
  t.strictSame(parseYaml('{~: 1, y: 2, 5: 3, "": 4, !ignore z: 5, 0x10: 6, a: , b, ? c}', 'test'), {
    null: 1,
    y: 2,
    5: 3,
    '': 4,
    '0x10': 6,
    a: null,
    b: null,
    c: null,
  })
  t.strictSame(parseYaml('a: 1\na: 2\n', 'test'), { a: 2 })
  t.strictSame(parseYaml('---\na: 1\n---\nb: 2\n', 'test'), { a: 1 })
  t.strictSame(parseYaml('x: &a {k: 1}\ny: *a\n', 'test'), { x: { k: 1 }, y: { k: 1 } })
  t.strictSame(
    parseYaml('x: &a {k: 1}\ny: {<<: *a}\n', 'test'),
    { x: { k: 1 }, y: { '<<': { k: 1 } } },
    'no merge keys',
  )
  t.strictSame(Object.keys(parseYaml('__proto__: {x: 1}', 'test') as object), ['__proto__'], 'no way to the prototype')
  t.end()
})

const FORMS: readonly string[] = [
  'a:\n- b\n- c: 1\n  d: 2\n-\n  - x\n  - - y\n    - z\ne:\n  f: g # comment\n  # comment\n  h:\n',
  'text: |\n  one\n   two\n\n  three\nnext: |-\n  x\nkeep: |+\n  y\n\nend: 1\n',
  "s: 'it''s'\nd: \"tab\\t\\u00e9\\x41\"\nurl: http://a:80/b#c\ntime: a:b\n",
  'f: {a: [1, {b: c}], "d":e, g: "h"}\n',
  'f: {a: 1,\n  b: [x,\n    y, # comment\n  ]}\nz: 2\n',
  'a: 1\r\nb:\r\n  - 2\r\n',
  '- a\n- b: c\n  d:\n  - e\n',
  '"quoted key": 1\n\'other\': 2\n? complex\n: 3\n',
  'folded: >\n  a\n  b\nplain: one\n  two\n',
  '--- # start\na: b\n...\nignored: x\n',
  '\ufeffa: 1\n',
  'a: -1\nb: - 2\n',
  'a: b: c\n',
  'a: [1, 2\n',
  'a:\n\tb: 1\n',
  'a: {b: c?d}\n',
  '',
  '# nothing\n',
]

t.test('the fast reader agrees with the general one or leaves the text to it', t => {
  let fast = 0
  for (const text of FORMS) {
    const value = parseYamlFast(text)
    if (value === NOT_UNDERSTOOD) continue
    fast++
    t.strictSame(value, parseYamlSlowly(text, 'test').value, JSON.stringify(text))
  }
  t.ok(fast >= 11, `${fast} of ${FORMS.length} read fast`)
  t.end()
})

t.test('istiod pushes and a bootstrap, written as YAML in three styles', t => {
  const fixtures = new URL('../../fixtures/config/istio/', import.meta.url)
  const type = 'envoy.service.discovery.v3.DeltaDiscoveryResponse'
  let fast = 0
  let all = 0
  for (const file of readdirSync(fixtures)) {
    const bytes = readFileSync(new URL(file, fixtures))
    const json = file.endsWith('.pb') ? toJson(type, decodeMessage(type, bytes).message) : JSON.parse(bytes.toString())
    for (const options of [
      {},
      { lineWidth: 0 },
      { lineWidth: 0, collectionStyle: 'flow', defaultStringType: 'QUOTE_DOUBLE' },
    ] as const) {
      const text = stringify(json, { ...options, aliasDuplicateObjects: false })
      all++
      const value = parseYamlFast(text)
      if (value === NOT_UNDERSTOOD) continue
      fast++
      t.ok(isDeepStrictEqual(value, parseYamlSlowly(text, file).value), `${file} ${JSON.stringify(options)}`)
    }
  }
  t.ok(fast * 4 >= all * 3, `${fast} of ${all} read fast`)
  t.end()
})

t.test('aliases cannot blow up, nesting cannot overflow the stack', t => {
  const laughs = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
  for (let i = 0; i < 12; i++)
    laughs.push(
      `${String.fromCharCode(98 + i)}: &${String.fromCharCode(98 + i)} [${`*${String.fromCharCode(97 + i)},`.repeat(10)}]`,
    )
  t.throws(() => parseYaml(laughs.join('\n'), 'test'), { code: 'CONFIG_SYNTAX' })
  t.throws(() => parseYaml(`${'['.repeat(100_000)}`, 'test'), { code: 'CONFIG_SYNTAX' })
  t.end()
})

t.test('the configurations of the reference runs are read', t => {
  for (const name of ['main.yaml', 'extra.yaml', 'istio/bootstrap.json']) {
    const path = new URL(`../../fixtures/config/${name}`, import.meta.url).pathname
    t.doesNotThrow(() => loadBootstrap({ path }), name)
  }
  t.end()
})

interface Form {
  readonly yaml: string
  readonly value?: object
  readonly refused?: true
}

t.test('forms of YAML are read as the real Envoy reads them', t => {
  const forms: Form[] = JSON.parse(
    readFileSync(new URL('../../fixtures/config/yaml-cases.json', import.meta.url), 'utf8'),
  )
  for (const { yaml, value, refused } of forms) {
    // Probed with a field in front: some forms differ as the first line of a document.
    const text = `first: 1\n${yaml}`
    if (refused) t.throws(() => parseYaml(text, 'test'), { code: 'CONFIG_SYNTAX' }, JSON.stringify(yaml))
    else t.same(parseYaml(text, 'test'), { first: 1, ...value }, JSON.stringify(yaml))
  }
  t.end()
})

t.test('known differences: what yaml-cpp alone takes or refuses', t => {
  t.same(parseYaml('{a: b?c}', 'test'), { a: 'b?c' }, 'yaml-cpp stops a flow scalar at "?" and fails')
  t.same(parseYaml('a: "\\ud83d\\ude00"', 'test'), { a: '\u{1f600}' }, 'yaml-cpp refuses surrogate pairs')
  t.throws(() => parseYaml('a: "x"#c', 'test'), { code: 'CONFIG_SYNTAX' }, 'yaml-cpp takes a comment without a blank')
  t.throws(() => parseYaml('b: 1\na:1', 'test'), { code: 'CONFIG_SYNTAX' }, 'yaml-cpp makes a key of it')
  t.end()
})

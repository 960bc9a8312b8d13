/** The sizes are those the real Envoy told, each in its error for max_program_size 0. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { ConfigError } from '../../../src/base/errors.ts'
import { regexProgramSize, regexProgramSizeAtMost } from '../../../src/base/regex-size.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { parseRegex, regexLimits } from '../../../src/config/matcher.ts'

const measured: { regex: string; size: number }[] = JSON.parse(
  readFileSync(new URL('../../fixtures/regex/program-sizes.json', import.meta.url), 'utf8'),
)
/** RE2 merges repetitions of the same atom side by side; re2js has no \C. */
const DIFFERENT = ['a+a+', '[A-Z]{3}\\.[0-9]x*x*', '\\C']

t.test('the program of a pattern has the size it has in the real Envoy', t => {
  for (const { regex, size } of measured) if (!DIFFERENT.includes(regex)) t.equal(regexProgramSize(regex), size, regex)
  t.end()
})

t.test('the bound is one', t => {
  for (const { regex, size } of measured) t.ok(size <= regexProgramSizeAtMost(regex), regex)
  t.end()
})

const at = FieldPath.root()
const refusal = (regex: string, max?: number): string => {
  try {
    parseRegex({ regex, ...(max === undefined ? {} : { google_re2: { max_program_size: max } }) }, at)
    return ''
  } catch (error) {
    return (error as ConfigError).envoyText
  }
}
const BIG = '(a{1,50}b{1,50}){1,5}'
const END = 'Increase configured max program size if necessary.'

t.test('over 100, or the runtime level, a pattern is refused', t => {
  t.equal(
    refusal(BIG),
    `regex '${BIG}' RE2 program size of 1008 > max program size of 100 set for the error level threshold. ${END}`,
  )
  t.equal(refusal('.{1,30}'), '')
  regexLimits.error = 32768
  t.equal(refusal(BIG), '')
  const said: string[] = []
  Object.assign(regexLimits, { warn: 500, tell: (text: string) => said.push(text) })
  t.equal(refusal(BIG), '')
  t.same(said, [
    `regex '${BIG}' RE2 program size of 1008 > max program size of 500 set for the warn level threshold. ${END}`,
  ])
  Object.assign(regexLimits, { error: 100, warn: Number.POSITIVE_INFINITY })
  t.end()
})

t.test('the deprecated field alone counts where it is set', t => {
  t.equal(refusal(BIG, 100000), '')
  t.equal(refusal(BIG, 100), `regex '${BIG}' RE2 program size of 1008 > max program size of 100. ${END}`)
  t.equal(refusal('abc', 0), `regex 'abc' RE2 program size of 7 > max program size of 0. ${END}`)
  t.end()
})

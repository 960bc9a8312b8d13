/**
 * The configurations that the real Envoy refuses for what its factories find, through the whole of `--mode validate`; reading alone
 * is tested in test/unit/config/envoy-errors.test.ts.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { FileLogSink, Loggers } from '../../../src/base/log.ts'
import { parseCommandLine } from '../../../src/cmd/options.ts'
import { disableExtension } from '../../../src/config/registry.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { configuredServer } from '../../../src/server/main.ts'

interface Case {
  readonly n: number
  readonly name: string
  readonly args: readonly string[]
  readonly config: string | null
  readonly validate: { readonly exit: number; readonly stderr: string }
}

const cases: Case[] = JSON.parse(readFileSync(new URL('../../fixtures/config/errors.json', import.meta.url), 'utf8'))

const FACTORIES = [
  28, 35, 36, 38, 39, 40, 42, 43, 46, 47, 49, 50, 51, 53, 54, 56, 58, 59, 60, 63, 66, 67, 68, 69, 70, 74, 75, 79, 80,
  81, 83, 86,
]

const dir = t.testdir()
const sink = new FileLogSink(join(dir, 'log'), '%v', false)
const loggers = new Loggers(sink, 1)
registerExtensions()

for (const n of FACTORIES) {
  const c = cases.find(each => each.n === n)!
  t.test(`${n}: "${c.name}" is refused in Envoy's words, with its place`, t => {
    const error = refusal(c)
    t.equal(error.envoyText, wanted(c))
    t.match(error.message, /\n {2}at /)
    t.end()
  })
}

for (const c of cases) {
  if (c.validate.exit !== 0 || c.config === null || c.args.length > 0) continue
  t.test(`${c.n}: "${c.name}" is taken`, t => {
    validate(c)
    t.end()
  })
}

t.test('the place of an unknown cluster is its own line', t => {
  const error = refusal(cases.find(each => each.n === 53)!)
  t.match(
    error.path,
    /^static_resources\.listeners\[0\]\.filter_chains\[0\]\.filters\[0\]\.typed_config\.<any>\.route_config\./,
  )
  t.end()
})

t.test('102: an extension that was switched off does not exist', t => {
  const c = cases.find(each => each.n === 102)!
  disableExtension('envoy.filters.http', 'envoy.filters.http.router')
  t.equal(refusal(c).envoyText, wanted(c))
  t.end()
})

/** Files that were there when the real Envoy was asked are made in the test's own directory. */
function validate(c: Case): void {
  const path = join(dir, `c${c.n}.yaml`)
  mkdirSync(join(dir, 'xds'), { recursive: true })
  writeFileSync(join(dir, 'xds', 'cds.yaml'), 'version_info: "0"\nresources: []\n')
  writeFileSync(path, c.config!.replaceAll('/lab/xds/', join(dir, 'xds/')))
  const line = parseCommandLine(['-c', path, '--mode', 'validate'], 'envoy')
  if (line.kind !== 'run') throw new Error('the command line is wrong')
  configuredServer(line.options, loggers, sink, () => ({ listen: async () => {}, close: () => {} }))
}

function refusal(c: Case): ConfigError {
  try {
    validate(c)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('it was taken')
}

function wanted(c: Case): string {
  const lines = c.validate.stderr.split('\n')
  const last = lines.findLast(line => line.includes('error initializing configuration'))!
  return last.replace(/^.*?error initializing configuration '[^']*': /, '').trim()
}

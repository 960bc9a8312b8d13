/** Config sources that cannot be followed: what the real Envoy said to each with `--mode validate`, recorded. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { FileLogSink, Loggers } from '../../../src/base/log.ts'
import { parseCommandLine } from '../../../src/cmd/options.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { configuredServer } from '../../../src/server/main.ts'

interface Case {
  readonly name: string
  /** `{dir}` holds empty.yaml, and nothing else. */
  readonly config: object
  readonly exit: number
  readonly error: string
}

const cases: Case[] = JSON.parse(readFileSync(new URL('../../fixtures/config/sources.json', import.meta.url), 'utf8'))
const dir = t.testdir({ 'empty.yaml': 'resources: []\n' })
const loggers = new Loggers(new FileLogSink(join(dir, 'log'), '%v', false), 1)
registerExtensions()

for (const c of cases) {
  t.test(`${c.name} is ${c.exit === 0 ? 'taken' : "refused in Envoy's words"}`, t => {
    t.equal(refusal(c, 'validate'), c.error.replaceAll('{dir}', dir))
    t.end()
  })
}

t.test('what is only accepted because nothing is followed is refused when it is to serve', t => {
  for (const name of ['lds_config-path-missing', 'rds-ads', 'eds-ads', 'sds-down-ads']) {
    const c = cases.find(each => each.name === name)!
    t.match(refusal(c, 'serve'), /does not exist|ADS must be configured/, name)
  }
  t.end()
})

function refusal(c: Case, mode: 'serve' | 'validate'): string {
  const path = join(dir, `${c.name}.json`)
  writeFileSync(path, JSON.stringify(c.config).replaceAll('{dir}', dir))
  const line = parseCommandLine(['-c', path, '--mode', mode], 'envoy')
  if (line.kind !== 'run') throw new Error('the command line is wrong')
  try {
    configuredServer(line.options, loggers, loggers.sink as FileLogSink, () => ({
      listen: async () => {},
      close: () => {},
    }))
    return ''
  } catch (error) {
    if (error instanceof ConfigError) return error.envoyText
    throw error
  }
}

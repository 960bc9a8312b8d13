import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { FileLogSink, Loggers } from '../../../src/base/log.ts'
import { parseCommandLine } from '../../../src/cmd/options.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { configuredServer } from '../../../src/server/main.ts'
import type { Server } from '../../../src/server/server.ts'

interface Case {
  readonly name: string
  readonly config: object
  readonly error: string
}

const fixture = (path: string) => readFileSync(new URL(`../../fixtures/${path}`, import.meta.url), 'utf8')
/** Recorded by record-stats-refusals.ts. */
const cases: Case[] = JSON.parse(fixture('server/stats-refusals.json'))

const dir = t.testdir()
const sink = new FileLogSink(join(dir, 'log'), '%v', false)
const loggers = new Loggers(sink, 1)
registerExtensions()

function configured(config: object): Server {
  const path = join(dir, 'bootstrap.json')
  writeFileSync(path, JSON.stringify(config))
  const options = parseCommandLine(['-c', path, '--mode', 'validate'], 'envoy')
  if (options.kind !== 'run') throw new Error('the command line is refused')
  return configuredServer(options.options, loggers, sink, () => null as never)
}

for (const { name, config, error } of cases) {
  t.test(`${name}: ${error === '' ? 'taken' : 'refused'} as Envoy does`, async t => {
    if (error === '') {
      configured(config)
      return
    }
    try {
      configured(config)
      t.fail('it was taken')
    } catch (thrown) {
      if (!(thrown instanceof ConfigError)) throw thrown
      t.equal(thrown.envoyText.split('\n').at(-1), error)
    }
  })
}

t.test("the sinks of Istio's bootstrap are there, and without sinks workers hear of none", async t => {
  const golden = JSON.parse(fixture('agent/bootstrap/all_golden.json')) as { stats_sinks: object[] }
  const clusters = [{ name: 'envoy_metrics_service', type: 'STATIC' }]
  const bare = { node: { id: 'n', cluster: 'c' }, static_resources: { clusters } }
  const { forWorkers } = configured({ ...bare, stats_sinks: golden.stats_sinks }).statistics
  t.strictSame(
    forWorkers?.sinks.map(s => s.name),
    ['envoy.stat_sinks.metrics_service', 'envoy.stat_sinks.statsd'],
  )
  t.equal(configured(bare).statistics.forWorkers, null)
})

import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { type CorpusRun, corpora } from './corpora.ts'
import { FILTERS } from './every-filter.ts'

interface Recorded {
  /** Outcomes of the real Envoy. */
  readonly envoy: Readonly<Record<string, string>>
  /** Where Remora is stricter: docs/differences.md says why. */
  readonly remora: Readonly<Record<string, string>>
}

// What is asked again is waited for with patience.
t.setTimeout(280_000)

/** That nothing more comes is told by a silence, which a busy machine makes too: what is not as expected is asked again, with patience. */
async function patiently(
  run: (options?: CorpusRun) => Promise<Map<string, string>>,
  options: CorpusRun,
  expected: (name: string) => string | undefined,
): Promise<Map<string, string>> {
  const outcomes = await run(options)
  const only = new Set([...outcomes].filter(([name, outcome]) => outcome !== expected(name)).map(([name]) => name))
  if (only.size > 0)
    for (const [name, outcome] of await run({ ...options, only, patience: 10 })) outcomes.set(name, outcome)
  return outcomes
}

for (const [corpus, run] of Object.entries(corpora)) {
  const recorded: Recorded = JSON.parse(readFileSync(new URL(`${corpus}.json`, import.meta.url), 'utf8'))

  t.test(`${corpus}: nothing is smuggled, and outcomes are those of the real Envoy`, async t => {
    const outcomes = await patiently(run, {}, name => recorded.remora[name] ?? recorded.envoy[name])
    t.equal(outcomes.size, Object.keys(recorded.envoy).length)
    for (const [name, outcome] of outcomes) t.equal(outcome, recorded.remora[name] ?? recorded.envoy[name], name)
    // Inside a body, in quotes, it is what the client sent; as a request or as an answer it is not.
    const smuggled = [...outcomes].filter(([, outcome]) => / \| \w+ \S*smuggled|"smuggled"/.test(outcome))
    t.same(smuggled, [])
  })

  const oracle = process.env['ENVOY_BINARY']
  t.test(
    `${corpus}: the record is what the real Envoy does`,
    { skip: oracle === undefined && 'no real Envoy' },
    async t => {
      const outcomes = await patiently(run, { command: oracle }, name => recorded.envoy[name])
      for (const [name, outcome] of outcomes) t.equal(outcome, recorded.envoy[name], name)
    },
  )
}

t.test('every HTTP filter that exists is among those that requests are refused through', async t => {
  const files = globSync(join(import.meta.dirname, '../../src/http/filters/*.ts')).map(file => basename(file, '.ts'))
  const tried = Object.keys(FILTERS).map(name => name.replace(/ \d$/, ''))
  t.same(
    files.filter(file => file !== 'router' && !tried.includes(file)),
    [],
    'each needs an entry in test/adversarial/every-filter.ts',
  )
})

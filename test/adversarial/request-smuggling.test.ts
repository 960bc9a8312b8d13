import { readFileSync } from 'node:fs'
import t from 'tap'
import { runRequestCorpus } from './request-smuggling.ts'

interface Recorded {
  /** Outcomes of the real Envoy. */
  readonly envoy: Readonly<Record<string, string>>
  /** Where Remora is stricter: docs/differences.md says why. */
  readonly remora: Readonly<Record<string, string>>
}

const recorded: Recorded = JSON.parse(readFileSync(new URL('request-smuggling.json', import.meta.url), 'utf8'))

t.test(
  'no request that the client did not send reaches the upstream, and outcomes are those of the real Envoy',
  async t => {
    const outcomes = await runRequestCorpus()
    t.equal(outcomes.size, Object.keys(recorded.envoy).length)
    for (const [name, outcome] of outcomes) t.equal(outcome, recorded.remora[name] ?? recorded.envoy[name], name)
    const smuggled = [...outcomes].filter(([, outcome]) => / \| \w+ \S*smuggled/.test(outcome))
    t.same(smuggled, [])
  },
)

const oracle = process.env['ENVOY_BINARY']
t.test('the record is what the real Envoy does', { skip: oracle === undefined && 'no real Envoy' }, async t => {
  const outcomes = await runRequestCorpus(oracle!)
  for (const [name, outcome] of outcomes) t.equal(outcome, recorded.envoy[name], name)
})

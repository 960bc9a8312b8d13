/** What the real Envoy said to small configurations; `later` are refusals that come after reading. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { ConfigError } from '../../../src/base/errors.ts'
import { loadBootstrap } from '../../../src/config/load.ts'

interface Row {
  readonly yaml: string
  readonly error: string | null
  readonly later?: string
}

const rows: Row[] = JSON.parse(
  readFileSync(new URL('../../fixtures/config/reader-cases.json', import.meta.url), 'utf8'),
)

t.test('values are accepted and refused as by the real Envoy, in its words', t => {
  for (const { yaml, error, later } of rows) {
    const said = read(yaml)
    // Rules inside an Any are checked before a factory looks at its type: both refuse, in another order.
    if (later !== undefined && said?.startsWith('Proto constraint')) continue
    // Which of two oneof members comes first is random in Envoy.
    t.equal(anyMember(said), anyMember(error), yaml)
  }
  t.end()
})

function anyMember(text: string | null): string | null {
  return text === null || !text.includes('already been set') ? text : 'already been set'
}

function read(yaml: string): string | null {
  try {
    loadBootstrap({ yaml })
    return null
  } catch (e) {
    if (!(e instanceof ConfigError)) throw e
    return e.envoyText.replace(/, near \d+:\d+/, '')
  }
}

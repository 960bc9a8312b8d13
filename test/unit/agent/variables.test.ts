import t from 'tap'
import { boolFrom } from '../../../src/agent/go-bool.ts'
import { durationFrom } from '../../../src/agent/go-duration.ts'
import { configureLog } from '../../../src/agent/log.ts'

const lines: string[] = []
configureLog({ write: line => void lines.push(line) })

t.test("booleans are those of Go's strconv.ParseBool; anything else is the default, with a warning", async t => {
  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) t.equal(boolFrom({ A: text }, 'A'), true, text)
  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) t.equal(boolFrom({ A: text }, 'A', true), false, text)
  for (const byDefault of [true, false]) {
    t.equal(boolFrom({}, 'A', byDefault), byDefault)
    t.equal(boolFrom({ A: '' }, 'A', byDefault), byDefault)
    t.same(lines.splice(0), [])
    t.equal(boolFrom({ A: 'yes' }, 'A', byDefault), byDefault)
    t.match(
      lines.splice(0).join(''),
      `Invalid environment variable value \`yes\`, expecting true/false, defaulting to ${byDefault}: A`,
    )
  }
})

t.test("durations are Go's; one that is none is an error that names the variable", async t => {
  for (const [text, milliseconds] of [
    ['24h0m0s', 86_400_000],
    ['1m30s', 90_000],
    ['1.5s', 1500],
    ['100ms', 100],
    ['0', 0],
    ['', 7],
  ] as const) {
    t.equal(durationFrom({ A: text }, 'A', 7), milliseconds, text)
  }
  t.equal(durationFrom({}, 'A', 7), 7)
  for (const none of ['5', 's', '-1s', '1d', '1s 2s']) {
    t.throws(() => durationFrom({ A: none }, 'A', 7), { message: `A=${none}: expected a duration such as 24h0m0s` })
  }
})

import { join } from 'node:path'
import t from 'tap'
import { differences } from '../../bench/wire/differences.ts'
import type { ScenarioObservation } from './observation.ts'
import { type Group, get, scenario } from './scenario.ts'
import { runGroups } from './suite.ts'

// The harness is what all parity claims rest on: these tests show that it does see a difference.

const group: Group = {
  name: 'harness',
  upstreams: { a: { kind: 'http1' } },
  config: { admin: '$port(admin)', listener: '$port(main)', upstream: '$port(a)' },
  scenarios: [scenario('one-request', 'One request', get('/x', { up: 'ok' }), [], { stats: ['^proxy\\.'] })],
}

function fake(wrong = ''): string[] {
  return [process.execPath, join(import.meta.dirname, 'fake-proxy.ts'), '--wrong', wrong]
}

async function run(command: string[], expected?: ScenarioObservation) {
  const [outcome] = await runGroups(command, [group], () => expected)
  return outcome!
}

const recorded = (await run(fake())).observed!

t.test('an observation holds the answer, what the upstream got, the log and the stats', async t => {
  t.match(recorded.steps, [
    {
      responses: [
        { status: 'HTTP/1.1 200 OK', headers: ['server: envoy', 'date: {date}', 'content-length: 5'], body: 'hello' },
      ],
      connection: 'kept',
    },
  ])
  t.match(recorded.upstream, [{ upstream: 'a', head: ['GET /x HTTP/1.1', 'host: lab.test'], end: 'complete' }])
  t.strictSame(recorded.log, ['code=200 flags=- duration={ms}'])
  t.strictSame(recorded.stats, { 'proxy.requests': 1 })
})

t.test('the same behaviour agrees with its own recording', async t => {
  t.strictSame((await run(fake(), recorded)).differences, [])
})

for (const [wrong, where] of [
  ['header', 'steps[0].responses[0].headers[0]'],
  ['order', 'steps[0].responses[0].headers[0]'],
  ['body', 'steps[0].responses[0].body'],
  ['close', 'steps[0].connection'],
  ['upstream', 'upstream[0].head[1]'],
  ['log', 'log: missing'],
  ['stat', 'stats.proxy.requests'],
] as const) {
  t.test(`a proxy that is wrong in its ${wrong} is found out`, async t => {
    const { differences: found } = await run(fake(wrong), recorded)
    t.ok(found.length > 0)
    t.ok(found[0]!.startsWith(where), `${found[0]}`)
  })
}

t.test('a proxy that crashes fails the scenario, with its exit', async t => {
  const { differences: found } = await run(fake('crash'), recorded)
  t.ok(found.length > 0)
})

t.test('a proxy that does not start fails every scenario instead of the run', async t => {
  t.match((await run(['/nonexistent/proxy'], recorded)).differences, [/did not become ready/])
})

t.test('a scenario without a recording fails', async t => {
  t.strictSame((await run(fake())).differences, ['nothing is recorded for this scenario'])
})

t.test('any changed value of an expectation is a difference', async t => {
  let mutations = 0
  for (const mutated of mutationsOf(recorded)) {
    mutations++
    t.not(differences(mutated, recorded).length, 0, JSON.stringify(mutated))
  }
  t.ok(mutations > 20)
})

/** Copies of a value with one leaf changed, one list entry removed or one added. */
function* mutationsOf(value: unknown): Generator<unknown> {
  if (typeof value === 'string') yield `${value}!`
  else if (typeof value === 'number') yield value + 1
  else if (typeof value === 'boolean') yield !value
  else if (Array.isArray(value)) {
    yield [...value, 'one more']
    for (let i = 0; i < value.length; i++) {
      yield value.toSpliced(i, 1)
      for (const changed of mutationsOf(value[i])) yield value.with(i, changed)
    }
  } else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) {
      for (const changed of mutationsOf(item)) yield { ...value, [key]: changed }
    }
  }
}

import t from 'tap'
import type { Comparison, Exchange } from '../../../../bench/compare/result.ts'
import { comparisonSection } from '../../../../bench/compare/section.ts'
import { pushText, requestText, summaryText } from '../../../../bench/compare/text.ts'
import { HOSTILE } from '../report/hostile.ts'

const EXCHANGE: Exchange = {
  status: HOSTILE,
  headers: [HOSTILE],
  body: HOSTILE,
  trailers: [],
  connection: 'kept',
  log: { flags: HOSTILE, details: HOSTILE },
  attempts: [],
}
const side = { command: HOSTILE, version: HOSTILE, configuration: HOSTILE }
const COMPARISON: Comparison = {
  version: 1,
  startedAt: '2026-01-02T03:04:05.000Z',
  commandLine: HOSTILE,
  configuration: HOSTILE,
  trace: HOSTILE,
  sides: { envoy: side, remora: side },
  equal: false,
  pushes: [
    {
      number: 1,
      from: HOSTILE,
      envoy: [],
      remora: [],
      differences: [{ aspect: 'push', what: HOSTILE, envoy: HOSTILE, remora: HOSTILE }],
    },
  ],
  requests: [
    {
      number: 1,
      method: 'GET',
      url: HOSTILE,
      envoy: EXCHANGE,
      remora: EXCHANGE,
      differences: [{ aspect: 'body', what: HOSTILE, envoy: `${HOSTILE}\u001b[31m`, remora: 'x'.repeat(5000) }],
    },
  ],
  stats: { onlyEnvoy: [HOSTILE], onlyRemora: [], counts: [{ name: HOSTILE, envoy: 1, remora: 2 }], common: 5 },
  notes: [HOSTILE],
  normalisation: [HOSTILE],
}

t.test('answers of strangers are text on the page and harmless on a terminal', t => {
  const page = comparisonSection(COMPARISON).text
  t.notMatch(page, /<script|<img|<\/style/)
  t.match(page, 'Where they differ')
  t.match(page, '(5000 characters)')
  const text = `${pushText(COMPARISON.pushes[0]!)}\n${requestText(COMPARISON.requests[0]!)}\n${summaryText(COMPARISON)}`
  t.notMatch(text, /\u001b|\u0000/)
  t.match(text, '0 of 1 requests agree; 5 stat names are common, 2 differ\ndifferent')
  t.end()
})

t.test('the end of the output does not call a push accepted that nobody answered', t => {
  const answer = { type: 'Cluster', names: ['a', 'b'], absent: [], rejections: [], answered: true }
  const said = (envoy: object): string => {
    const push = { number: 1, from: 'f', envoy: [{ ...answer, ...envoy }], remora: [], differences: [] }
    return summaryText({ ...COMPARISON, pushes: [push] })
  }
  t.match(said({}), 'Cluster ACK (2)')
  t.match(said({ rejections: ['no good'] }), 'Cluster NACK (2)')
  t.match(said({ answered: false }), 'Cluster no answer (2)')
  t.end()
})

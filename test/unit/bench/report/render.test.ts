import t from 'tap'
import { renderReport } from '../../../../bench/load/report/render.ts'
import type { BenchReport, CaseResult } from '../../../../bench/load/result.ts'
import { fixtureReport } from './fixture.ts'
import { HOSTILE, hostileReport } from './hostile.ts'

const VOID = new Set(['meta', 'link', 'br', 'hr', 'img', 'input'])

/** Every element that is opened is closed in order; returns what is wrong. */
function nesting(page: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  for (const [, slash, name = '', rest = ''] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)((?:"[^"]*"|[^<>"])*)>/gi)) {
    if (slash === '/') {
      const last = open.pop()
      if (last !== name) wrong.push(`</${name}> closes <${last}>`)
    } else if (!VOID.has(name) && !rest.endsWith('/')) open.push(name)
  }
  return [...wrong, ...open.map(name => `<${name}> is never closed`)]
}

const page = renderReport(fixtureReport())

t.test('one page, well-formed, nothing loaded from elsewhere, no script', t => {
  t.match(page, /^<!doctype html>\n<html lang="en">/)
  t.same(nesting(page), [])
  t.notMatch(page, /<script/i)
  t.same(
    [...page.matchAll(/(?:src|href)="(?!#|data:,)([^"]*)"/g)].map(found => found[1]),
    [],
  )
  t.notMatch(page, /url\(|@import/)
  t.match(page, "default-src 'none'")
  t.end()
})

t.test('every plot has a title, a description and its figures as a table', t => {
  const figures = page.split('<figure ').slice(1)
  t.ok(figures.length > 15)
  for (const figure of figures) {
    t.match(
      figure,
      /<svg [^>]*role="img" aria-labelledby="([^" ]+) ([^" ]+)"><title id="\1">[^<]+<\/title><desc id="\2">[^<]+</,
    )
    t.match(figure, /<summary>Figures<\/summary><div class="scroll"><table>/)
  }
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(found => found[1]!)
  t.equal(new Set(ids).size, ids.length, 'ids are unique')
  for (const [, target] of page.matchAll(/href="#([^"]+)"/g)) t.ok(ids.includes(target!), `#${target}`)
  t.notMatch(page, /NaN|undefined|Infinity|\[object/)
  t.end()
})

t.test(
  'where Remora loses: decided losses worst first, to Envoy and to others, p99.9 though p50 is won, goals missed',
  t => {
    const section = page.slice(page.indexOf('<section id="losses">'), page.indexOf('<section id="throughput">'))
    const envoy = section.slice(section.indexOf('Against Envoy'), section.indexOf('Against other'))
    const rows = [...envoy.matchAll(/<a href="#case-([^"]+)">.*?<td class="text">([^<]+)<\/td><td><strong>([^<]+)×/g)]
    t.same(rows.map(([, id, what]) => `${id} ${what}`).sort(), [
      'latency-http1 latency p99.9',
      'memory-idle anonymous memory',
      'start time to ready',
      'tcp requests per CPU-second',
      'tls-handshake requests per CPU-second',
    ])
    const ratios = rows.map(row => Number(row[3]))
    t.same(
      ratios,
      [...ratios].sort((a, b) => a - b),
    )
    t.match(section, /Ahead, and short of the goal[\s\S]*HTTP\/2 small requests[\s\S]*4 × the real Envoy/)
    t.match(section, /Not decided[\s\S]*TLS, HTTP\/1\.1[\s\S]*the rounds do not agree/)
    t.ok(page.indexOf('id="losses"') < page.indexOf('id="throughput"'), 'before the plots')
    t.end()
  },
)

t.test('an inconclusive ratio is printed nowhere, whichever way round the result has it', t => {
  const report = fixtureReport()
  const only = report.cases.find(one => one.id === 'tls-http1')!
  const ratio = {
    of: 'envoy',
    to: 'remora',
    median: 1.2345,
    min: 0.8765,
    max: 1.5432,
    conclusive: false,
    why: 'too wide',
  } as const
  const shown = renderReport({ ...report, cases: [{ ...only, ratios: [ratio] }] })
  t.notMatch(shown, /1\.23×|0\.81×|0\.88×|1\.54×/)
  t.match(shown, 'too wide')
  const decided = renderReport({
    ...report,
    cases: [{ ...only, ratios: [{ ...ratio, min: 1.1, conclusive: true, why: null }] }],
  })
  t.match(decided, /0\.81×/, 'of Envoy to Remora 1.23 is of Remora to Envoy 0.81')
  t.end()
})

t.test('a measurement that is several cases, one by percentile, is judged and drawn once', t => {
  const report = fixtureReport()
  const one = report.cases.find(({ group }) => group === 'latency')!
  const rest = report.cases.filter(other => other !== one)
  const ratios = one.ratios.map(ratio => ({ ...ratio, median: 0.5, min: 0.4, max: 0.6, conclusive: true, why: null }))
  const tail = { ...one, id: 'tail', metric: { ...one.metric, name: '99.9th percentile of latency' }, ratios }
  const shown = renderReport({ ...report, cases: [...rest, one, tail] })
  const lost = shown.slice(shown.indexOf('Against Envoy'), shown.indexOf('Against other'))
  t.equal(lost.split('99.9').length - 1, 1, 'p99.9 is lost once')
  t.match(lost, '#case-tail')
  t.equal([...shown.matchAll(/<figure id="figure-latency-/g)].length, 1)
  t.end()
})

t.test('a failed check is named among the losses', t => {
  const report = fixtureReport()
  const [first] = report.cases as [CaseResult]
  const checks = [{ peer: 'remora' as const, checks: [{ name: 'stats moved', passed: false, detail: 'stayed at 7' }] }]
  const shown = renderReport({ ...report, cases: [{ ...first, checks }] })
  t.match(shown, /What went wrong[\s\S]*failed the check “stats moved”: stayed at 7/)
  t.end()
})

t.test('text from outside cannot become markup', t => {
  const shown = renderReport(hostileReport())
  t.same(nesting(shown), [])
  t.notMatch(shown, /<script|<img|<\/title><b>/i)
  t.equal(shown.split('</style>').length, 2)
  t.notMatch(shown, /\u202e|\u0000/)
  t.match(shown, '&lt;script&gt;')
  t.match(HOSTILE, '<script>')
  t.end()
})

t.test('reports with little in them render: one proxy, no cases, nothing that could be measured', t => {
  const report = fixtureReport()
  const bare: BenchReport = { ...report, cases: [], peers: report.peers.slice(0, 1), missing: [] }
  t.same(nesting(renderReport(bare)), [])
  const [first] = report.cases as [CaseResult]
  const alone: CaseResult = { ...first, rounds: [], summaries: [], ratios: [], checks: [] }
  t.notMatch(renderReport({ ...report, cases: [alone] }), /NaN|undefined|Infinity/)
  const own = first.summaries.filter(summary => summary.peer === 'remora')
  const shown = renderReport({ ...report, cases: [{ ...first, summaries: own, ratios: [] }] })
  t.match(shown, 'was not measured beside anything')
  const nothing = own.map(summary => ({ ...summary, value: { median: 0, min: 0, max: 0 } }))
  t.notMatch(
    renderReport({ ...report, cases: [{ ...first, summaries: nothing, ratios: [] }] }),
    /NaN|undefined|Infinity/,
  )
  t.end()
})

import type { BenchReport } from '../../../../bench/load/result.ts'
import { fixtureReport } from './fixture.ts'

/** Breaks out of text, attributes, titles and style sheets, if anything lets it; and turns the direction of text. */
export const HOSTILE = `x"'></title></style><script>window.broken=1</script><img src=x onerror="window.broken=1">\u202egnp\u0000&amp;`

/** The fixture with every free text hostile. Names that mean something (peers, groups, series) stay. */
export function hostileReport(): BenchReport {
  const report = fixtureReport()
  return {
    ...report,
    commandLine: HOSTILE,
    startedAt: HOSTILE,
    versions: { [HOSTILE]: HOSTILE },
    machine: {
      ...report.machine,
      cpuModel: HOSTILE,
      kernel: HOSTILE,
      congestionControl: HOSTILE,
      pinning: { proxy: HOSTILE, load: HOSTILE, upstream: null, batch: false },
    },
    missing: [{ program: HOSTILE, how: HOSTILE }],
    peers: report.peers.map(peer => ({
      ...peer,
      title: `${peer.title} ${HOSTILE}`,
      command: [HOSTILE],
      configurations: { [HOSTILE]: HOSTILE, default: `${HOSTILE}${peer.id}` },
    })),
    cases: report.cases.map((one, i) => ({
      ...one,
      id: `${HOSTILE}${i}`,
      title: `${one.title} ${HOSTILE}`,
      configuration: HOSTILE,
      series: one.series === null ? null : `${one.series}${HOSTILE}`,
      axis: one.axis === null ? null : { ...one.axis, name: HOSTILE },
      load: [HOSTILE],
      metric: { ...one.metric, name: `${one.metric.name}${HOSTILE}`, unit: i % 2 === 0 ? one.metric.unit : HOSTILE },
      notes: [HOSTILE],
      goal: { kind: 'ratio', value: 2, text: HOSTILE },
      checks: one.checks.map(entry => ({
        ...entry,
        checks: [{ name: HOSTILE, passed: i % 2 === 0, detail: HOSTILE }],
      })),
      summaries: one.summaries.map(summary => ({ ...summary, extra: { [HOSTILE]: 1 } })),
      ratios: one.ratios.map(ratio => ({ ...ratio, why: HOSTILE, conclusive: i % 3 === 0 })),
    })),
  }
}

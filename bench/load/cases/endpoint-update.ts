import { atMost, type BenchCase, type Plan, type Sample } from '../case.ts'
import { ask } from '../checks/ask.ts'
import { manyEndpoints } from '../configurations/scale.ts'
import { treeCpuSeconds } from '../processes/tree.ts'
import type { Target } from '../target.ts'

const CLUSTERS = 10_000

/** The whole process: main thread and workers. */
export const endpointUpdate: BenchCase = {
  id: 'endpoint-update',
  title: `CPU for one changed endpoint among ${CLUSTERS} clusters, delta xDS, two workers`,
  group: 'scale',
  series: null,
  axis: null,
  configuration: manyEndpoints(CLUSTERS),
  metric: { name: 'CPU per update', unit: 'ms', higherIsBetter: false },
  value: 'own',
  goal: atMost(5, 'at most 5 ms'),
  from: 'standard',
  headline: false,
  fresh: true,
  needs: [],
  commands: plan => [`${updates(plan)} delta EDS responses of one resource each, one after another`],
  measure,
}

function updates(plan: Plan): number {
  return plan.profile === 'smoke' ? 20 : 300
}

async function measure(target: Target, plan: Plan): Promise<Sample> {
  const control = target.sites.upstreams.xdsControl
  const count = updates(plan)
  const once = (path: string) =>
    ask({ port: control, path, host: 'control', protocol: 'http1', tls: false, client: null, timeoutSeconds: 10 })
  // The first ones load what updates need.
  for (let i = 0; i < 10; i++) await once('/update?cluster=cluster-7')
  const before = treeCpuSeconds(target.process.pid)
  const started = performance.now()
  let errors = 0
  for (let i = 0; i < count; i++) {
    const answer = await once(`/update?cluster=cluster-${i % 100}`)
    if (answer.status !== 200) errors++
  }
  const cpu = treeCpuSeconds(target.process.pid) - before
  const seconds = (performance.now() - started) / 1000
  const acknowledged = count - errors
  return { seconds, count: acknowledged, errors, value: (cpu * 1000) / Math.max(acknowledged, 1), cpuSeconds: cpu }
}

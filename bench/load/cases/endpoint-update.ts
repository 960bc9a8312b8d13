import { atMost, type BenchCase, type Plan, type Sample } from '../case.ts'
import { ask } from '../checks/ask.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { MANY, MANY_CLUSTERS, MANY_ENDPOINTS } from '../configurations/scale.ts'
import { treeCpuSeconds } from '../processes/tree.ts'
import type { Target } from '../target.ts'

/** The whole process: main thread and workers. */
export const endpointUpdate: BenchCase = updateCase(
  'endpoint-update',
  `CPU for one changed endpoint among ${MANY} clusters, delta xDS, two workers`,
  MANY_ENDPOINTS,
  '/update',
)

export const clusterUpdate: BenchCase = updateCase(
  'cluster-update',
  `CPU for one changed cluster among ${MANY}, delta xDS, two workers`,
  MANY_CLUSTERS,
  '/replace',
)

function updateCase(id: string, title: string, configuration: Configuration, path: string): BenchCase {
  return {
    id,
    title,
    group: 'scale',
    series: null,
    axis: null,
    configuration,
    metric: { name: 'CPU per update', unit: 'ms', higherIsBetter: false },
    value: 'own',
    goal: atMost(5, 'at most 5 ms'),
    from: 'standard',
    headline: false,
    fresh: true,
    needs: [],
    commands: plan => [`${updates(plan)} delta responses of one resource each, one after another`],
    measure: (target, plan) => measure(target, plan, path),
  }
}

function updates(plan: Plan): number {
  return plan.profile === 'smoke' ? 20 : 300
}

async function measure(target: Target, plan: Plan, path: string): Promise<Sample> {
  const control = target.sites.upstreams.xdsControl
  const count = updates(plan)
  const once = (name: string) =>
    ask({
      port: control,
      path: `${path}?cluster=${name}`,
      host: 'control',
      protocol: 'http1',
      tls: false,
      client: null,
      timeoutSeconds: 10,
    })
  // The first ones load what updates need.
  for (let i = 0; i < 10; i++) await once('cluster-7')
  const before = treeCpuSeconds(target.process.pid)
  const started = performance.now()
  let errors = 0
  for (let i = 0; i < count; i++) {
    const answer = await once(`cluster-${i % 100}`)
    if (answer.status !== 200) errors++
  }
  const cpu = treeCpuSeconds(target.process.pid) - before
  const seconds = (performance.now() - started) / 1000
  const acknowledged = count - errors
  return { seconds, count: acknowledged, errors, value: (cpu * 1000) / Math.max(acknowledged, 1), cpuSeconds: cpu }
}

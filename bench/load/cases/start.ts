import { atMost, type BenchCase, type Derived } from '../case.ts'
import { HTTP1 } from '../configurations/plain-http.ts'
import { manyClusters } from '../configurations/scale.ts'
import { treeMemory } from '../processes/tree.ts'

export const startOne: BenchCase = startCase({
  id: 'start-live',
  title: 'Start to LIVE, one cluster, one worker',
  group: 'start',
  configuration: HTTP1,
  goal: atMost(150, 'at most 150 ms'),
  from: 'smoke',
  also: [cpuUntilLive('start-live-cpu', 'CPU from start to LIVE, one cluster, one worker')],
})

const BOUNDS: Readonly<Record<number, number | undefined>> = { 1000: 500, 10000: 2500 }

/** Time to ready and memory against the number of clusters and virtual hosts, two workers, YAML. */
export const scaleStart: readonly BenchCase[] = [1, 1000, 10_000].map(count => {
  const bound = BOUNDS[count]
  return startCase({
    id: `start-clusters-${count}`,
    title: `Start to LIVE, ${count} clusters and virtual hosts, two workers`,
    group: 'scale',
    series: 'start-clusters',
    axis: { name: 'clusters', value: count },
    configuration: manyClusters(count, 2),
    goal: bound === undefined ? null : atMost(bound, `at most ${bound} ms`),
    from: 'standard',
    also: [
      cpuUntilLive(
        `start-clusters-${count}-cpu`,
        `CPU from start to LIVE, ${count} clusters and virtual hosts, two workers`,
      ),
      {
        id: `memory-clusters-${count}`,
        title: `RSS when LIVE, ${count} clusters and virtual hosts, two workers`,
        extra: 'RSS bytes',
        metric: { name: 'RSS', unit: 'B', higherIsBetter: false },
        goal: count === 10_000 ? atMost(200 * 1048576, 'at most 200 MB') : null,
        series: 'memory-clusters',
        axis: { name: 'clusters', value: count },
      },
      {
        id: `memory-clusters-${count}-stats`,
        title: `RSS after /stats was read twice, ${count} clusters and virtual hosts, two workers`,
        extra: 'RSS bytes after the checks',
        metric: { name: 'RSS', unit: 'B', higherIsBetter: false },
        goal: null,
      },
    ],
  })
})

/** What neighbours do to the clock, they do less to CPU time. */
function cpuUntilLive(id: string, title: string): Derived {
  return { id, title, extra: 'CPU ms', metric: { name: 'CPU to LIVE', unit: 'ms', higherIsBetter: false }, goal: null }
}

function startCase(
  own: Pick<BenchCase, 'id' | 'title' | 'group' | 'configuration' | 'goal' | 'from'> & Partial<BenchCase>,
): BenchCase {
  return {
    series: null,
    axis: null,
    metric: { name: 'time to LIVE', unit: 'ms', higherIsBetter: false },
    value: 'own',
    headline: false,
    fresh: true,
    needs: [],
    commands: () => [],
    measure: async target => {
      const memory = target.readyMemory
      const later = treeMemory(target.process.pid)
      const extra = {
        'CPU ms': target.readyCpuSeconds * 1000,
        'RSS bytes': memory.rssBytes,
        'PSS bytes': memory.pssBytes,
        'anonymous bytes': memory.anonBytes,
        'RSS bytes after the checks': later.rssBytes,
      }
      return { seconds: target.readySeconds, count: 1, errors: 0, value: target.readySeconds * 1000, extra }
    },
    ...own,
  }
}

import type { BenchCase } from '../case.ts'
import { manyClusters } from '../configurations/scale.ts'
import { wrkCase } from './http1.ts'

/** What the size of the route table costs per request. */
export const routing: readonly BenchCase[] = [1, 1000, 10_000].map(count => {
  const configuration = manyClusters(count, 1)
  return wrkCase(
    `routing-${count}`,
    `HTTP/1.1, ${count} virtual hosts`,
    configuration,
    { connections: 32, headers: [`Host: ${configuration.checks.host}`] },
    {
      group: 'scale',
      series: 'routing',
      axis: { name: 'virtual hosts', value: count },
      from: count === 1000 ? 'full' : 'standard',
    },
  )
})

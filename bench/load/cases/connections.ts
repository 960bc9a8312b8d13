import { type BenchCase, REQUESTS_PER_CPU } from '../case.ts'
import { HTTP1 } from '../configurations/plain-http.ts'
import { wrkCase } from './http1.ts'

export const connections256: BenchCase = withConnections(256)
export const connections2000: BenchCase = withConnections(2000)

function withConnections(connections: number): BenchCase {
  return wrkCase(
    `connections-${connections}`,
    `HTTP/1.1, small answers, ${connections} connections`,
    HTTP1,
    { connections },
    {
      group: 'connections',
      series: 'connections',
      axis: { name: 'connections', value: connections },
      metric: REQUESTS_PER_CPU,
    },
  )
}

import type { BenchCase } from '../case.ts'
import { HTTP1 } from '../configurations/plain-http.ts'
import { wrkCase } from './http1.ts'

/** Request headers beside Host, of the length that tracing and authentication add. */
export const headers: readonly BenchCase[] = [0, 10, 40].map(count =>
  wrkCase(
    `headers-${count}`,
    `HTTP/1.1, ${count} further request headers`,
    HTTP1,
    {
      connections: 32,
      headers: Array.from({ length: count }, (_, i) => `X-Bench-Header-${i}: value-${i}-${'v'.repeat(24)}`),
    },
    {
      group: 'http1',
      series: 'headers',
      axis: { name: 'headers', value: count },
      from: count === 10 ? 'full' : 'standard',
    },
  ),
)

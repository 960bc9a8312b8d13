import type { BenchCase } from '../case.ts'
import { HTTP1_TWO_WORKERS } from '../configurations/plain-http.ts'
import { wrkCase } from './http1.ts'

/** Cost per request with two workers; compare with one worker in `http1-small`. Not pinned: two workers need two cores. */
export const workersTwo: BenchCase = wrkCase(
  'workers-2',
  'HTTP/1.1, small answers, 32 connections, two workers',
  HTTP1_TWO_WORKERS,
  { connections: 32 },
  { group: 'workers', series: 'workers', axis: { name: 'workers', value: 2 } },
)

import { availableParallelism } from 'node:os'
import type { BenchCase } from '../case.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { HTTP1_ONE_WORKER, HTTP1_TWO_WORKERS } from '../configurations/plain-http.ts'
import { wrkCase } from './http1.ts'

/** Two for the workers, two for the load, two for the upstream. */
const CORES_TO_SCALE = 6

/** What the second worker costs per request. */
export const workers: readonly BenchCase[] = [withWorkers(1, HTTP1_ONE_WORKER), withWorkers(2, HTTP1_TWO_WORKERS)]

function withWorkers(count: number, configuration: Configuration): BenchCase {
  return wrkCase(
    `workers-${count}`,
    `HTTP/1.1, small answers, 32 connections, ${count} worker${count === 1 ? '' : 's'} on all cores`,
    configuration,
    { connections: 32 },
    {
      group: 'workers',
      series: 'workers',
      axis: { name: 'workers', value: count },
      goal: null,
      prepare: async (_, plan) => {
        if (availableParallelism() < CORES_TO_SCALE)
          plan.notes.push(
            `requests per second of several workers mean nothing here: load, upstream and proxy share ${availableParallelism()} cores`,
          )
      },
    },
  )
}

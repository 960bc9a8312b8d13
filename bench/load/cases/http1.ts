import { atLeast, type BenchCase, REQUESTS_PER_CPU } from '../case.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { type WrkOptions, wrkCommand, wrkLoad } from '../drivers/wrk-load.ts'

/** A case of wrk on an HTTP/1.1 listener; the others are made from it. */
export function wrkCase(
  id: string,
  title: string,
  configuration: Configuration,
  load: WrkOptions,
  more: Partial<BenchCase> = {},
): BenchCase {
  return {
    id,
    title,
    group: 'http1',
    series: null,
    axis: null,
    configuration,
    metric: REQUESTS_PER_CPU,
    value: 'operations-per-cpu-second',
    goal: atLeast(1.6),
    from: 'standard',
    headline: false,
    fresh: false,
    needs: ['wrk'],
    commands: plan => [wrkCommand(load, '{port}', plan.seconds).join(' ')],
    measure: (target, plan) => wrkLoad(load, target, plan),
    ...more,
  }
}

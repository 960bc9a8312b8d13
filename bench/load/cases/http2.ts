import { atLeast, type BenchCase, REQUESTS_PER_CPU } from '../case.ts'
import type { Configuration } from '../configurations/configuration.ts'
import { HTTP2, HTTP2_BOTH } from '../configurations/plain-http.ts'
import { type H2loadOptions, h2loadCommand, h2loadLoad } from '../drivers/h2load-load.ts'

/** A case of h2load on a listener that speaks HTTP/2; the others are made from it. */
export function h2loadCase(
  id: string,
  title: string,
  configuration: Configuration,
  load: H2loadOptions,
  more: Partial<BenchCase> = {},
): BenchCase {
  return {
    id,
    title,
    group: 'http2',
    series: null,
    axis: null,
    configuration,
    metric: REQUESTS_PER_CPU,
    value: 'operations-per-cpu-second',
    goal: atLeast(2),
    from: 'standard',
    headline: false,
    fresh: false,
    needs: ['h2load'],
    commands: plan => [h2loadCommand(load, '{port}', plan.seconds).join(' ')],
    measure: (target, plan) => h2loadLoad(load, target, plan),
    ...more,
  }
}

export const http2Small: BenchCase = h2loadCase(
  'http2-small',
  'HTTP/2, small answers, 8 connections × 32 streams, HTTP/1.1 to the upstream',
  HTTP2,
  { connections: 8, streams: 32 },
  { headline: true, from: 'smoke' },
)

export const http2Both: BenchCase = h2loadCase(
  'http2-both',
  'HTTP/2, small answers, 8 connections × 32 streams, HTTP/2 to the upstream',
  HTTP2_BOTH,
  { connections: 8, streams: 32 },
)

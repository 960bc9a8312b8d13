import type { BenchCase } from '../case.ts'
import { HTTP1 } from '../configurations/plain-http.ts'
import { wrkCase } from './http1.ts'

export const http1Small: BenchCase = wrkCase(
  'http1-small',
  'HTTP/1.1, small answers, 32 connections',
  HTTP1,
  { connections: 32 },
  { headline: true, from: 'smoke', series: 'connections', axis: { name: 'connections', value: 32 } },
)

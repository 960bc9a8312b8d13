import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { atLeast, type BenchCase, BYTES_PER_CPU, type Plan } from '../case.ts'
import { HTTP1_BODIES, HTTP2_BODIES } from '../configurations/plain-http.ts'
import { wrkCommand, wrkLoad } from '../drivers/wrk-load.ts'
import { FILES } from '../upstreams/nginx.ts'
import { wrkCase } from './http1.ts'
import { h2loadCase } from './http2.ts'

export const body4k: BenchCase = download('4k', '4 KiB', 32)
export const body1m: BenchCase = download('1m', '1 MiB', 8)
export const body100m: BenchCase = download('100m', '100 MiB', 2)

function download(file: string, title: string, connections: number): BenchCase {
  return wrkCase(
    `body-${file}`,
    `HTTP/1.1, ${title} answers, ${connections} connections`,
    HTTP1_BODIES,
    { connections, path: `/files/${file}` },
    {
      group: 'bodies',
      series: 'bodies',
      axis: { name: 'body bytes', value: FILES[file]! },
      metric: BYTES_PER_CPU,
      value: 'bytes-per-cpu-second',
      goal: atLeast(1),
      // Bytes of answers that are not finished when the time is over count too (wrk counts what it read); requests do not.
      ...(file === '100m' ? { measure: measureLarge } : {}),
    },
  )
}

/** Of an answer this large none may be finished in a short round. */
async function measureLarge(...[target, plan]: Parameters<BenchCase['measure']>): ReturnType<BenchCase['measure']> {
  const options = { connections: 2, path: '/files/100m' }
  const sample = await wrkLoad(options, target, { ...plan, seconds: Math.max(plan.seconds, 3) })
  return sample
}

/** Larger than the frames it is cut into, and than what a read takes. */
export const http2Body1m: BenchCase = h2loadCase(
  'http2-body-1m',
  'HTTP/2, 1 MiB answers, 4 connections × 4 streams, HTTP/2 to the upstream',
  HTTP2_BODIES,
  { connections: 4, streams: 4, path: '/files/1m' },
  { group: 'bodies', metric: BYTES_PER_CPU, value: 'bytes-per-cpu-second', goal: atLeast(1) },
)

const UPLOAD_BYTES = 1048576

export const upload1m: BenchCase = wrkCase(
  'upload-1m',
  'HTTP/1.1, 1 MiB requests, 8 connections',
  HTTP1_BODIES,
  { connections: 8, path: '/upload' },
  {
    group: 'bodies',
    from: 'full',
    metric: BYTES_PER_CPU,
    value: 'bytes-per-cpu-second',
    goal: atLeast(1),
    commands: plan => [
      wrkCommand({ connections: 8, path: '/upload', script: 'UPLOAD.lua' }, '{port}', plan.seconds).join(' '),
    ],
    measure: async (target, plan) => {
      const sample = await wrkLoad({ connections: 8, path: '/upload', script: uploadScript(plan) }, target, plan)
      return { ...sample, bytes: sample.count * UPLOAD_BYTES }
    },
  },
)

function uploadScript(plan: Plan): string {
  const file = join(plan.folder, 'upload.lua')
  writeFileSync(file, `wrk.method = "POST"\nwrk.body = string.rep("u", ${UPLOAD_BYTES})\n`)
  return file
}

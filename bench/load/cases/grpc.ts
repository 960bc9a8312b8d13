import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { atLeast, type BenchCase, type Plan, REQUESTS_PER_CPU } from '../case.ts'
import { GRPC_PATH, grpcMessage } from '../checks/grpc.ts'
import { GRPC } from '../configurations/grpc.ts'
import { type H2loadOptions, h2loadCommand, h2loadLoad } from '../drivers/h2load-load.ts'

const PAYLOAD_BYTES = 64

function load(body: string): H2loadOptions {
  const headers = ['te: trailers', 'content-type: application/grpc']
  return { connections: 8, streams: 32, path: GRPC_PATH, headers, body }
}

function messageFile(plan: Plan): string {
  const file = join(plan.folder, 'grpc-message')
  writeFileSync(file, grpcMessage(Buffer.alloc(PAYLOAD_BYTES, 'm')))
  return file
}

export const grpcUnary: BenchCase = {
  id: 'grpc-unary',
  title: `gRPC unary, ${PAYLOAD_BYTES}-byte message, 8 connections × 32 streams`,
  group: 'grpc',
  series: null,
  axis: null,
  configuration: GRPC,
  metric: REQUESTS_PER_CPU,
  value: 'operations-per-cpu-second',
  goal: atLeast(2),
  from: 'smoke',
  headline: false,
  fresh: false,
  needs: ['h2load'],
  commands: plan => [h2loadCommand(load('MESSAGE'), '{port}', plan.seconds).join(' ')],
  measure: (target, plan) => h2loadLoad(load(messageFile(plan)), target, plan),
}

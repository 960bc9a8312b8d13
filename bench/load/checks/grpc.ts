import { randomUUID } from 'node:crypto'
import type { Check } from '../result.ts'
import type { Target } from '../target.ts'
import { untilLogged } from './access-log.ts'
import { ask, stats } from './ask.ts'
import { Checks } from './checks.ts'
import { questionFor } from './http.ts'
import { checkMoved } from './moved.ts'

export const GRPC_PATH = '/bench.Echo/Unary'

/** A length-prefixed message of gRPC: a zero for "not compressed", four bytes of length, the bytes. */
export function grpcMessage(payload: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(payload.length, 1)
  return Buffer.concat([head, payload])
}

/** A unary call must come back with its message and its status in trailers. */
export async function checkGrpc(target: Target): Promise<Check[]> {
  const checks = new Checks()
  const { peer, sites, configuration } = target
  const before = peer.isEnvoy ? await stats(sites.admin) : new Map<string, number>()
  const body = grpcMessage(Buffer.from('ping'))
  const call = (path: string) =>
    ask({
      ...questionFor(target, path),
      method: 'POST',
      body,
      headers: { te: 'trailers', 'content-type': 'application/grpc' },
    })
  const answer = await call(GRPC_PATH)
  const status = answer.trailers['grpc-status']
  checks.add(
    'call succeeds',
    answer.status === 200 && answer.body.equals(body),
    `status ${answer.status}, ${answer.body.length} bytes ${answer.error}`,
  )
  checks.add('grpc-status in trailers', String(status) === '0', `grpc-status ${status}`)
  if (peer.isEnvoy) {
    const time = answer.headers['x-envoy-upstream-service-time']
    checks.add('x-envoy-upstream-service-time', /^\d+$/.test(String(time)), `${time}`)
    const { cluster, statPrefix } = configuration.checks
    const names = [`http.${statPrefix}.downstream_rq_2xx`, `cluster.${cluster}.upstream_rq_200`]
    await checkMoved(checks, sites.admin, before, names)
  }
  const mark = `/bench.Echo/Check${randomUUID().slice(0, 8)}`
  await call(mark)
  const line = await untilLogged(sites.log, mark, configuration.checks.logWaitSeconds)
  checks.add('access log line', line !== null, line ?? `no line with ${mark}`)
  return checks.list
}

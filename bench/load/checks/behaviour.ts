import type { Check } from '../result.ts'
import type { Target } from '../target.ts'
import { admin } from './ask.ts'
import { checkGrpc } from './grpc.ts'
import { checkHttp } from './http.ts'
import { checkTcp } from './tcp.ts'

/**
 * The checks of the target's configuration, on its running process. `quick`, for the second and later processes that are started
 * on the same file, leaves out those that wait: time-outs, retries and the access log.
 */
export async function checkBehaviour(target: Target, depth: 'full' | 'quick' = 'full'): Promise<Check[]> {
  if (target.configuration.ownChecks !== undefined) return target.configuration.ownChecks(target)
  switch (target.configuration.checks.kind) {
    case 'http':
      return checkHttp(target, depth)
    case 'grpc':
      return checkGrpc(target)
    case 'tcp':
      return checkTcp(target)
    case 'ready': {
      const state = await admin(target.sites.admin, '/ready')
      return [{ name: 'says it is live', passed: state?.trim() === 'LIVE', detail: `${state?.trim()}` }]
    }
  }
}
